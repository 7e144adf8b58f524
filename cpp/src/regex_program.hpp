// Regular expressions of the kind that tokenizers hold, compiled to a few instructions.
//
// The dialect is that of Hugging Face `tokenizers`: Oniguruma's Ruby syntax. Only constructs whose
// meaning is the same there and here compile; `parse_regex` gives nothing for any other.

#ifndef VECSMITH_SRC_REGEX_PROGRAM_HPP_
#define VECSMITH_SRC_REGEX_PROGRAM_HPP_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "character_set.hpp"

namespace vecsmith {

// One step of a matcher. Jumps go forward only, so a match takes each instruction at most once.
struct Instruction {
  enum class Kind : std::uint8_t {
    kCharacter,    // one character of `set`
    kRun,          // `least` to `most` characters of `set`, as many as can be
    kSplit,        // go on here; should that fail, `jump` instructions further
    kJump,         // go `jump` instructions further
    kFollowed,     // a character of `set` comes next, and stays
    kNotFollowed,  // none comes next
    kLineEnd,      // the end of the text or a line feed comes next
    kMatch,        // done
  };
  static constexpr std::uint32_t kUnlimited = std::numeric_limits<std::uint32_t>::max();

  Kind kind = Kind::kMatch;
  bool possessive = false;  // a run gives nothing back
  bool is_guarded = false;  // a split that is passed over unless a character of `set` comes next
  std::uint16_t set = 0;    // index into RegexProgram::sets
  std::uint16_t memo = 0;   // an unlimited run's place in what a search remembers
  std::uint16_t jump = 0;
  std::uint32_t least = 0;
  std::uint32_t most = 0;
};

// Alternatives in order; a search takes the first of them that matches at the leftmost place.
class RegexProgram {
 public:
  // More than any known expression has. They bound what a search keeps on the stack.
  static constexpr std::size_t kMostAlternatives = 64;
  static constexpr std::size_t kMostChoices = 32;  // runs and splits of one alternative
  static constexpr std::size_t kMostMemos = 32;
  static constexpr std::size_t kMostSets = 0xFFFF;

  // `alternatives` holds for each its instructions up to kMatch, one after another.
  RegexProgram(std::vector<CharacterSet> sets,
               const std::vector<std::vector<Instruction>>& alternatives);

  // What a search remembers of an unlimited run: it ends at `end`, and what comes behind the run
  // fails wherever it begins from `begin` to `end`. So a search for an expression such as `\s+$`
  // does not look through the rest of a long run once for every character of it.
  struct Memo {
    std::size_t begin = std::numeric_limits<std::size_t>::max();  // offsets into the text
    std::size_t end = 0;
  };
  using Memos = std::array<Memo, kMostMemos>;

  // End of the match that begins at offset `at` of `text`, or `at` where there is none. `memos` is
  // new with each text.
  [[nodiscard]] std::size_t match(std::string_view text, std::size_t at, Memos& memos) const {
    for (std::uint64_t left = candidates(text, at); left != 0; left &= left - 1) {
      const auto alternative = static_cast<std::size_t>(std::countr_zero(left));
      const std::size_t end = match_from(starts_[alternative], text, at, memos);
      if (end != at) return end;
    }
    return at;
  }

 private:
  // One bit for each alternative that a match with the character at `at` may begin.
  [[nodiscard]] std::uint64_t candidates(std::string_view text, std::size_t at) const {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) return of_ascii_[byte];
    const char* p = text.data() + at;
    return of_class_[character_class(decode_utf8(p, text.data() + text.size()))];
  }
  [[nodiscard]] std::size_t match_from(std::size_t start, std::string_view text, std::size_t at,
                                       Memos& memos) const;
  template <typename Add>
  bool for_each_beginning(std::size_t start, Add add) const;
  void add_guard(std::size_t split);

  std::vector<CharacterSet> sets_;
  std::vector<Instruction> instructions_;
  std::vector<std::size_t> starts_;  // the first instruction of each alternative
  std::array<std::uint64_t, 0x80> of_ascii_{};
  std::array<std::uint64_t, kCharacterClasses> of_class_{};
};

// The program of a regular expression, or nothing where it has a construct unknown here, may match
// nothing, or could take longer than in proportion to the text.
[[nodiscard]] std::optional<RegexProgram> parse_regex(std::string_view regex);

}  // namespace vecsmith

#endif  // VECSMITH_SRC_REGEX_PROGRAM_HPP_
