#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace vecsmith {

class RegexProgram;

/// What Replace and Split look for: a literal string, or a regular expression.
///
/// Matches are those of Hugging Face `tokenizers`: leftmost, not overlapping, none of them empty.
/// Finding them takes no memory, and time in proportion to the text whatever both hold.
class Pattern {
 public:
  /// Throws std::invalid_argument for an empty literal, which would match between characters, and
  /// for one that is not well-formed UTF-8, which could match inside a character.
  explicit Pattern(std::string literal);

  /// The regular expression spelled `regex`; nothing where it has a construct that is not sure to
  /// mean here what it means there, or where it may match nothing at all.
  static std::optional<Pattern> of_regex(std::string_view regex);

  /// Calls `found(begin, end)` with the byte offsets of each match, in order.
  template <typename Found>
  void find_all(std::string_view text, Found&& found) const {
    using Function = std::remove_reference_t<Found>;
    find_each(
        text,
        [](void* function, std::size_t begin, std::size_t end) {
          (*static_cast<Function*>(function))(begin, end);
        },
        const_cast<std::remove_const_t<Function>*>(&found));
  }

  bool is_regex() const { return program_ != nullptr; }
  /// The literal, or the regular expression as it was spelled.
  const std::string& text() const { return text_; }

 private:
  Pattern(std::string_view regex, std::shared_ptr<const RegexProgram> program);

  void find_each(std::string_view text, void (*found)(void*, std::size_t, std::size_t),
                 void* function) const;

  std::string text_;
  std::shared_ptr<const RegexProgram> program_;
};

}  // namespace vecsmith
