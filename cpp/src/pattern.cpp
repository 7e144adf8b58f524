#include "vecsmith/pattern.hpp"

#include <stdexcept>
#include <utility>

#include "regex_program.hpp"
#include "text_checks.hpp"

namespace vecsmith {

Pattern::Pattern(std::string literal) : text_(std::move(literal)) {
  if (text_.empty()) {
    throw std::invalid_argument(
        "a pattern is an empty string, which matches between all characters; give it a character");
  }
  // It could match inside a character and leave the rest of its bytes.
  if (!is_well_formed(text_)) {
    throw std::invalid_argument(
        "a pattern of " + std::to_string(text_.size()) +
        " bytes is not well-formed UTF-8, as every text is; give it whole characters");
  }
}

Pattern::Pattern(std::string_view regex, std::shared_ptr<const RegexProgram> program)
    : text_(regex), program_(std::move(program)) {}

std::optional<Pattern> Pattern::of_regex(std::string_view regex) {
  std::optional<RegexProgram> program = parse_regex(regex);
  if (!program) return std::nullopt;
  return Pattern(regex, std::make_shared<const RegexProgram>(*std::move(program)));
}

void Pattern::find_each(std::string_view text, void (*found)(void*, std::size_t, std::size_t),
                        void* function) const {
  if (program_ == nullptr) {
    for (std::size_t at = text.find(text_); at != std::string_view::npos;
         at = text.find(text_, at + text_.size())) {
      found(function, at, at + text_.size());
    }
    return;
  }
  RegexProgram::Memos memos;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = program_->match(text, at, memos);
    if (end != at) {
      found(function, at, end);
      at = end;
    } else {
      const char* p = text.data() + at;
      static_cast<void>(decode_utf8(p, text.data() + text.size()));
      at = static_cast<std::size_t>(p - text.data());
    }
  }
}

}  // namespace vecsmith
