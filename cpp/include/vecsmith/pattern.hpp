#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vecsmith {

/// What Replace and Split look for: a literal string, or a regular expression that is known here.
///
/// Matches are those of Hugging Face `tokenizers`: leftmost, not overlapping, none of them empty.
class Pattern {
 public:
  /// Regular expressions with a matcher of their own.
  enum class Kind {
    kLiteral,
    kSpaceRuns,  ///< ` {2,}`
    kSpaces,     ///< `\s+`
  };

  explicit Pattern(std::string literal) : literal_(std::move(literal)) {}

  /// The regular expression spelled `regex`, or nothing where none here is spelled so.
  static std::optional<Pattern> of_regex(std::string_view regex);

  /// Calls `found(begin, end)` with the byte offsets of each match, in order.
  void find_all(std::string_view text,
                const std::function<void(std::size_t begin, std::size_t end)>& found) const;

  Kind kind() const { return kind_; }
  const std::string& literal() const { return literal_; }

 private:
  explicit Pattern(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kLiteral;
  std::string literal_;
};

}  // namespace vecsmith
