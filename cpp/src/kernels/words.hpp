#pragma once

// Words that were seen before, as the loops that look them up see them: lines of 64 bytes that each
// hold a few words and their ids. WordCache (word_cache.hpp) fills and owns the lines.

#include <cstddef>
#include <cstdint>

namespace vecsmith::kernels {

/// Bytes of a word of up to 16, padded with zeros.
struct alignas(16) WordKey {
  std::uint64_t low = 0, high = 0;
  bool operator==(const WordKey&) const = default;
};

inline constexpr std::size_t kTinyWord = 8;    ///< bytes of a word that has a tiny line
inline constexpr std::size_t kShortWord = 16;  ///< bytes of a word that has a short line

/// Bits of an id in a tiny line's value, and of its place in the ring.
inline constexpr std::uint32_t kIdBits = 31;
inline constexpr std::uint64_t kIdMask = (std::uint64_t{1} << kIdBits) - 1;
/// Count of a tiny line's value, and of a short line's entry, whose ids lie in the ring.
inline constexpr std::uint64_t kTinyInRing = 3;
inline constexpr std::uint32_t kShortInRing = 0xFFFFFFFFU;

/// Words of up to 8 bytes. A value holds up to two ids and above them their count.
struct alignas(64) TinyLine {
  std::uint64_t keys[4];
  std::uint64_t values[4];
};

/// Words of 9 to 16 bytes.
struct alignas(64) ShortLine {
  struct Entry {
    std::uint32_t ids[3];
    std::uint32_t count;
  };
  WordKey keys[2];
  Entry entries[2];
};
static_assert(sizeof(TinyLine) == 64 && sizeof(ShortLine) == 64);

/// The lines of all words; their numbers are powers of two.
struct WordLines {
  const TinyLine* tiny;
  const ShortLine* shorts;
  std::size_t tiny_mask;   ///< number of tiny lines, less one
  std::size_t short_mask;  ///< number of short lines, less one
};

/// Ids of words that have more than their line holds, one after another, the oldest overwritten.
struct WordRing {
  const std::uint32_t* ids = nullptr;        ///< kRingSlack more than the ring has may be read
  const std::uint32_t* n_written = nullptr;  ///< how many ids were ever put in
  std::uint32_t size = 0;                    ///< a power of two; 0 where there is no ring

  /// Writes the `count` ids at `place`, always as many as kRingSlack; false where there are more,
  /// or where they have been overwritten.
  [[gnu::always_inline]] bool copy(std::uint32_t place, std::uint32_t count,
                                   std::uint32_t* out) const;
};
inline constexpr std::uint32_t kRingSlack = 16;

[[gnu::always_inline]] inline bool WordRing::copy(std::uint32_t place, std::uint32_t count,
                                                  std::uint32_t* out) const {
  if (count > kRingSlack || size == 0 || *n_written - place > size) return false;
  __builtin_memcpy(out, ids + (place & (size - 1)), kRingSlack * sizeof(std::uint32_t));
  return true;
}

/// What is asked for: the words of a window, longer ones by their first 16 bytes.
struct WordProbes {
  WordKey* keys;
  const void** lines;
  const std::uint16_t* starts;
  const std::uint16_t* ends;
  WordRing ring = {};
};

// Inlined always: a level's own copy of a function must not become everybody's.

/// One widening multiply mixes 16 bytes (the "mum" step of wyhash); the constants are its own.
[[gnu::always_inline]] inline std::uint64_t hash_word(WordKey key) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide{key.low ^ 0xA0761D6478BD642FULL} * (key.high ^ 0xE7037ED1A0B428DBULL);
  return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
}

/// Line of a word of `n` bytes, 1 to 16.
[[gnu::always_inline]] inline const void* line_of_word(const WordLines& lines, std::uint64_t hash,
                                                       std::size_t n) {
  const void* const tiny = lines.tiny + (hash & lines.tiny_mask);
  const void* const other = lines.shorts + (hash & lines.short_mask);
  return n <= kTinyWord ? tiny : other;
}

}  // namespace vecsmith::kernels
