#include "byte_pattern.hpp"

#include <algorithm>
#include <string>

#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

// The pieces of a text are found from the classes of its bytes, a word of 64 bits at a time: a
// piece begins where the class changes, at the last space before something else, and so on. What is
// rare and takes more than one look (line feeds, contractions, digits in threes, spaces of several
// bytes) is put right afterwards, place by place.

namespace vecsmith {

namespace {

// Bytes behind a piece that no decision about its beginning looks beyond.
constexpr std::size_t kLookAhead = 16;

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlamaHead =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
constexpr std::string_view kLlamaTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

using Stretch = BytePattern::Stretch;
using kernels::BlockSets;

std::size_t n_blocks(const Stretch& s) { return (s.n + 63) / 64; }

// The bytes of block `b` that belong to the stretch.
std::uint64_t inside(const Stretch& s, std::size_t b) {
  const std::size_t left = s.n - 64 * b;
  return left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
}

bool is_in(const Stretch& s, unsigned set, std::size_t at) {
  return (s.blocks[at / 64].in[set] >> (at % 64) & 1U) != 0;
}

std::uint64_t others_of(const BlockSets& block) {
  return ~(block.in[BytePattern::kLetters] | block.in[BytePattern::kNumbers] |
           block.in[BytePattern::kSpaces]);
}

bool is_other(const Stretch& s, std::size_t at) {
  return (others_of(s.blocks[at / 64]) >> (at % 64) & 1U) != 0;
}

void set_start(const Stretch& s, std::size_t at) {
  s.starts[at / 64] |= std::uint64_t{1} << (at % 64);
}

void clear_start(const Stretch& s, std::size_t at) {
  s.starts[at / 64] &= ~(std::uint64_t{1} << (at % 64));
}

// Calls `act` with the place of each bit of `mask(b)`, block by block; a mask is asked for when its
// block is reached, and bits below the last value of `act` are passed over.
template <typename Mask, typename Act>
void for_each_place(const Stretch& s, Mask mask, Act act) {
  std::size_t next = 0;
  for (std::size_t b = 0; b < n_blocks(s); ++b) {
    std::uint64_t bits = mask(b) & inside(s, b);
    if (next > 64 * b) bits &= next >= 64 * b + 64 ? 0 : ~std::uint64_t{0} << (next - 64 * b);
    for (; bits != 0; bits &= bits - 1) {
      const std::size_t at = 64 * b + static_cast<std::size_t>(__builtin_ctzll(bits));
      if (at < next) continue;
      next = act(at);
    }
  }
}

std::size_t lead_of(const Stretch& s, std::size_t at) {
  while (at > 0 && is_continuation(static_cast<char>(s.text[at]))) --at;
  return at;
}

// Where the character that begins at `at` ends; well-formed text.
std::size_t end_of_character(const unsigned char* text, std::size_t at) {
  const unsigned lead = text[at];
  return at + (lead < 0x80 ? 1U : lead < 0xE0 ? 2U : lead < 0xF0 ? 3U : 4U);
}

}  // namespace

BytePattern::BytePattern() : BytePattern(Family::kGpt2, 0) {}

BytePattern::BytePattern(Family family, std::size_t most_digits)
    : family_(family), most_digits_(most_digits), kinds_{} {
  for (unsigned c = 0; c < kCharacterClasses; ++c) {
    const std::uint64_t traits = traits_of_class(c);
    const unsigned kind = (traits & kLetter) != 0   ? kLetters
                          : (traits & kNumber) != 0 ? kNumbers
                          : (traits & kSpace) != 0  ? kSpaces
                                                    : kOthers;
    kinds_[c] = static_cast<std::uint8_t>(kind);
  }
}

std::optional<BytePattern> BytePattern::of_regex(std::string_view regex) {
  if (regex == kGpt2Regex) return BytePattern();
  if (!regex.starts_with(kLlamaHead) || !regex.ends_with(kLlamaTail)) return std::nullopt;
  if (regex.size() < kLlamaHead.size() + kLlamaTail.size()) return std::nullopt;
  const std::string_view digits =
      regex.substr(kLlamaHead.size(), regex.size() - kLlamaHead.size() - kLlamaTail.size());
  if (digits.empty()) return BytePattern(Family::kLlama, 1);
  if (digits == "{1,3}") return BytePattern(Family::kLlama, 3);
  if (digits == "+") return BytePattern(Family::kLlama, 0);
  return std::nullopt;
}

kernels::ByteSets BytePattern::sets() const {
  kernels::ByteSets sets{};
  for (unsigned byte = 0; byte < 0x80; ++byte) {
    if (kind_of(byte) != kOthers) sets.add(kind_of(byte), byte);
  }
  sets.add(kNewlines, '\r');
  sets.add(kNewlines, '\n');
  sets.add(kBlanks, ' ');
  sets.add(kApostrophes, '\'');
  return sets;
}

bool BytePattern::find_pieces(const Stretch& s) const {
  if (!mark_characters(s)) return false;
  if (family_ == Family::kGpt2) {
    mark_gpt2(s);
    fix_wide_spaces(s);
  } else {
    mark_llama(s);
    fix_wide_spaces(s);
    join_wide_marks(s);
    fix_newlines(s);
  }
  cut_contractions(s);
  if (most_digits_ > 0) cut_numbers(s);
  return true;
}

// Adds the bytes of characters beyond ASCII to the sets of their blocks.
bool BytePattern::mark_characters(const Stretch& s) const {
  const char* const text = reinterpret_cast<const char*>(s.text);
  bool is_well_formed = true;
  for_each_place(
      s, [&](std::size_t b) { return s.blocks[b].not_ascii; },
      [&](std::size_t at) {
        const char* p = text + at;
        const char32_t c = decode_utf8(p, text + s.n);
        const auto n = static_cast<std::size_t>(p - text) - at;
        if (c == kReplacementCharacter) {
          is_well_formed = is_well_formed && std::string_view(text + at, n) == "\xEF\xBF\xBD";
        }
        const unsigned kind = kind_of(c);
        if (kind != kOthers) {
          const std::uint64_t bytes = (std::uint64_t{1} << n) - 1;
          const std::size_t bit = at % 64;
          s.blocks[at / 64].in[kind] |= bytes << bit;
          if (bit + n > 64) s.blocks[at / 64 + 1].in[kind] |= bytes >> (64 - bit);
        }
        return at + n;
      });
  return is_well_formed;
}

namespace {

// The classes of one block, and of the bytes before each of its own.
struct Block {
  std::uint64_t letters, numbers, spaces, others, blanks;
};

Block block_of(const Stretch& s, std::size_t b) {
  const std::uint64_t all = inside(s, b);
  const BlockSets& sets = s.blocks[b];
  const std::uint64_t letters = sets.in[BytePattern::kLetters] & all;
  const std::uint64_t numbers = sets.in[BytePattern::kNumbers] & all;
  const std::uint64_t spaces = sets.in[BytePattern::kSpaces] & all;
  return {letters, numbers, spaces, all & ~(letters | numbers | spaces),
          sets.in[BytePattern::kBlanks] & all};
}

std::uint64_t after(std::uint64_t now, std::uint64_t before) { return now << 1U | before >> 63U; }

// Spaces that something else follows.
std::uint64_t last_spaces(const Stretch& s, std::size_t b, const Block& now) {
  std::uint64_t follows = (now.letters | now.numbers | now.others) >> 1U;
  if (64 * (b + 1) < s.n) {
    follows |= (~s.blocks[b + 1].in[BytePattern::kSpaces] & 1U) << 63U;
  }
  return now.spaces & follows;
}

}  // namespace

// Runs of letters, numbers and others, each with a blank that stands before it; of spaces all but
// the last, and that one.
void BytePattern::mark_gpt2(const Stretch& s) const {
  Block before{};
  for (std::size_t b = 0; b < n_blocks(s); ++b) {
    const Block now = block_of(s, b);
    const std::uint64_t runs = (now.letters & ~after(now.letters, before.letters)) |
                               (now.numbers & ~after(now.numbers, before.numbers)) |
                               (now.others & ~after(now.others, before.others));
    s.starts[b] = (runs & ~after(now.blanks, before.blanks)) |
                  (now.spaces & ~after(now.spaces, before.spaces)) | last_spaces(s, b, now);
    before = now;
  }
}

// Runs of letters with one character before them that is no line feed and no number, runs of others
// with a blank before them, numbers alone. All spaces are taken for blanks here that are no line
// feeds; fix_newlines() puts the others right.
void BytePattern::mark_llama(const Stretch& s) const {
  Block before{};
  std::uint64_t marks_before = 0;
  for (std::size_t b = 0; b < n_blocks(s); ++b) {
    const Block now = block_of(s, b);
    const std::uint64_t others =
        now.others & ~after(now.others, before.others) & ~after(now.blanks, before.blanks);
    // A mark alone; one of several bytes is looked at later.
    const std::uint64_t marks = others & ~s.blocks[b].not_ascii;
    const std::uint64_t letters = now.letters & ~after(now.letters, before.letters) &
                                  ~after(now.spaces, before.spaces) & ~after(marks, marks_before);
    const std::uint64_t numbers = now.numbers & ~after(now.numbers, before.numbers);
    s.starts[b] = letters | numbers | others | (now.spaces & ~after(now.spaces, before.spaces)) |
                  last_spaces(s, b, now);
    before = now;
    marks_before = marks;
  }
}

// The last of several spaces begins a piece with its first byte.
void BytePattern::fix_wide_spaces(const Stretch& s) const {
  for_each_place(
      s,
      [&](std::size_t b) { return s.starts[b] & s.blocks[b].in[kSpaces] & s.blocks[b].not_ascii; },
      [&](std::size_t at) {
        const std::size_t lead = lead_of(s, at);
        if (lead != at) {
          clear_start(s, at);
          set_start(s, lead);
        }
        return at + 1;
      });
}

// A mark of several bytes alone belongs to the letters behind it.
void BytePattern::join_wide_marks(const Stretch& s) const {
  for_each_place(
      s,
      [&](std::size_t b) { return s.starts[b] & s.blocks[b].not_ascii & others_of(s.blocks[b]); },
      [&](std::size_t at) {
        const std::size_t end = end_of_character(s.text, at);
        if (end < s.n && is_in(s, kLetters, end)) clear_start(s, end);
        return end;
      });
}

void BytePattern::fix_newlines(const Stretch& s) const {
  for_each_place(
      s, [&](std::size_t b) { return s.blocks[b].in[kNewlines]; },
      [&](std::size_t at) {
        std::size_t begin = at;
        while (begin > 0 && is_in(s, kSpaces, begin - 1)) --begin;
        std::size_t end = at + 1;
        while (end < s.n && is_in(s, kSpaces, end)) ++end;
        fix_newline_run(s, begin, end);
        return end;
      });
}

// The pieces of spaces that hold a line feed: line feeds that belong to the mark before them; all
// up to the last line feed; the others.
void BytePattern::fix_newline_run(const Stretch& s, std::size_t begin, std::size_t end) const {
  for (std::size_t at = begin; at < std::min(end + 1, s.n); ++at) clear_start(s, at);
  if (begin > 0 && is_other(s, begin - 1)) {
    while (begin < end && is_newline(s.text[begin])) ++begin;
  }
  if (begin < end) set_start(s, begin);
  std::size_t rest = end;  // where the spaces behind the last line feed begin
  while (rest > begin && !is_newline(s.text[rest - 1])) --rest;
  if (rest < end) set_start(s, rest);
  if (end == s.n) return;
  bool begins = true;  // a piece, with what is behind the spaces
  if (rest < end) {
    const std::size_t last = lead_of(s, end - 1);
    set_start(s, last);
    begins = !is_in(s, kLetters, end) && !(is_other(s, end) && s.text[last] == ' ');
  }
  if (begins) set_start(s, end);
}

void BytePattern::cut_contractions(const Stretch& s) const {
  for_each_place(
      s, [&](std::size_t b) { return s.starts[b] & s.blocks[b].in[kApostrophes]; },
      [&](std::size_t at) {
        const std::size_t n = contraction(s.text + at, s.n - at);
        if (n > 0) {
          clear_start(s, at + 1);
          if (at + n < s.n) set_start(s, at + n);
        }
        return at + 1;
      });
}

void BytePattern::cut_numbers(const Stretch& s) const {
  for_each_place(
      s, [&](std::size_t b) { return s.starts[b] & s.blocks[b].in[kNumbers]; },
      [&](std::size_t at) {
        for (std::size_t count = 0; at < s.n && is_in(s, kNumbers, at); ++count) {
          if (count % most_digits_ == 0) set_start(s, at);
          at = end_of_character(s.text, at);
        }
        return at;
      });
}

// Bytes of the contraction that `text` begins with, 0 where there is none.
std::size_t BytePattern::contraction(const unsigned char* text, std::size_t n) const {
  if (n < 2 || text[0] != '\'') return 0;
  const bool folds = family_ == Family::kLlama;
  const auto letter = [&](std::size_t i) -> unsigned {
    if (i >= n) return 0;
    const unsigned byte = text[i];
    return folds && byte >= 'A' && byte <= 'Z' ? byte | 0x20U : byte;
  };
  const unsigned first = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && letter(2) == 'e') return 3;
  if (first == 'l' && letter(2) == 'l') return 3;
  // The long s, U+017F, is an s where case does not matter.
  if (folds && first == 0xC5 && letter(2) == 0xBF) return 3;
  return 0;
}

std::size_t BytePattern::last_sure(const Stretch& s) const {
  for (std::size_t b = n_blocks(s); b-- > 0;) {
    std::uint64_t bits = s.starts[b];
    while (bits != 0) {
      const auto bit = 63U - static_cast<unsigned>(__builtin_clzll(bits));
      bits ^= std::uint64_t{1} << bit;
      const std::size_t at = 64 * b + bit;
      if (at + kLookAhead >= s.n) continue;
      // Something that is no space has been seen, so no spaces go on behind the stretch.
      const std::size_t next = end_of_character(s.text, at);
      if (!is_in(s, kSpaces, at) || !is_in(s, kSpaces, next)) return at;
    }
  }
  return 0;
}

}  // namespace vecsmith
