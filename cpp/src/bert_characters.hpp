#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vecsmith/bert_normalizer.hpp"
#include "vecsmith/unicode.hpp"
#include "vecsmith/wordpiece.hpp"

namespace vecsmith {

/// What BertNormalizer and BertPreTokenizer together make of each character, as tables.
///
/// Nearly every character gives the same wherever it stands. The exception are marks that stay: a
/// run of them is put in canonical order. Text that holds one is kOdd and goes through
/// BertNormalizer itself.
class BertCharacters {
 public:
  enum Kind : std::uint8_t {
    kLetter,  ///< becomes part of a word
    kHangul,  ///< the same, perhaps a syllable that becomes two or three jamo
    kGone,    ///< nothing remains, and its neighbours touch
    kSpace,   ///< ends a word
    kAlone,   ///< ends a word and is one by itself
    kOdd,     ///< ask BertNormalizer
  };
  static constexpr std::uint32_t kNoId = 0xFFFFFFFFU;

  BertCharacters(const BertNormalizer& normalizer, const WordPiece& wordpiece);

  /// Id of a character that stands alone, or kNoId where no table holds it.
  std::uint32_t id_of(char32_t c) const {
    return c - kFirstAlone < ids_.size() ? ids_[c - kFirstAlone] : kNoId;
  }

  /// Letters of a word, normalised: how many bytes and characters there are so far.
  struct Letters {
    std::size_t n_bytes = 0, n_chars = 0;
  };
  /// Bytes that the letters of a text of `n` bytes may touch.
  static constexpr std::size_t room_for(std::size_t n) { return kMostGrowth * n + kMostBytes + 2; }

  /// What kind of character `c` is; one that belongs to a word is written behind the `letters` that
  /// `word` holds, normalised.
  Kind add(char32_t c, char* word, Letters& letters) const {
    const Entry& entry = entry_of(c);
    char* const out = word + letters.n_bytes;
    if (entry.sizes != 0) {
      // Always all of its bytes, then as far as there are.
      std::memcpy(out, entry.bytes, kMostBytes);
      letters.n_bytes += entry.sizes & 15U;
      letters.n_chars += entry.sizes >> 4U;
    } else if (entry.kind == kHangul && c >= kFirstSyllable && c <= kLastSyllable) {
      add_syllable(c - kFirstSyllable, out, letters);
    } else if (entry.kind == kLetter || entry.kind == kHangul) {
      letters.n_bytes += write_utf8(c, out);
      ++letters.n_chars;
    }
    return entry.kind;
  }

 private:
  static constexpr char32_t kFirstSyllable = 0xAC00;
  static constexpr char32_t kLastSyllable = 0xD7A3;
  // Chinese characters and the marks they are written with.
  static constexpr char32_t kFirstAlone = 0x2E80;
  static constexpr char32_t kEndAlone = 0x10000;
  static constexpr std::size_t kMostBytes = 6;
  static constexpr std::size_t kMostGrowth = 6;  // of one byte of text: U+FFFD, three, is the most

  struct Entry {
    char bytes[kMostBytes];
    // Bytes in the low half, characters in the high one; 0 where a letter stays as it is: pages of
    // such letters are shared.
    std::uint8_t sizes;
    Kind kind;
  };

  static void add_syllable(std::uint32_t index, char* out, Letters& letters);
  static std::size_t write_utf8(char32_t c, char* out);

  const Entry& entry_of(char32_t c) const {
    return entries_[page(c) * unicode_detail::kPageSize + (c & (unicode_detail::kPageSize - 1))];
  }
  Entry make_entry(char32_t c, const BertNormalizer& normalizer) const;
  void find_ids(const BertNormalizer& normalizer, const WordPiece& wordpiece);

  std::vector<Entry> entries_;  // by page and low bits of a code point
  std::vector<std::uint32_t> ids_;
};

}  // namespace vecsmith
