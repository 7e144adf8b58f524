// Sets of code points that one step of a normalizer may change, asked about whole stretches of
// text.
//
// Most text holds no member of the set that a step asks about, so looking for the first one is what
// a step costs: ASCII goes by eight bytes at a time, any other character by two loads and a shift.

#pragma once

#include <cstddef>
#include <cstdint>

namespace vecsmith {

// What a step may change. For a normal form these are all characters that change, that are no
// starters, or that compose with the one before them: what lies between two characters outside the
// set normalises independently of the rest.
enum class CodePointSet : std::uint8_t {
  kNfc,
  kNfd,
  kNfkc,
  kNfkd,
  kAccents,     // StripAccents deletes them
  kCased,       // Lowercase changes them; those of ASCII are left out
  kNmt,         // Nmt changes them
  kNmtDeleted,  // Nmt deletes them; what else it changes becomes a space
  kQuietMarks,  // no starters; no form that composes changes them or joins them to anything
};

// True when `c` is in `set`; values above U+10FFFF are in none.
[[nodiscard]] bool contains(CodePointSet set, char32_t c);

// The first place in UTF-8 text where a member of `set` or an ill-formed sequence begins; `end`
// where there is none. `p` is the beginning of a character.
[[nodiscard]] const char* find_member(CodePointSet set, const char* p, const char* end);

// The first place where an ill-formed sequence begins; `end` where there is none.
[[nodiscard]] const char* find_ill_formed(const char* p, const char* end);

}  // namespace vecsmith
