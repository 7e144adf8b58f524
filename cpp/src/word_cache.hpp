#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace vecsmith {

/// Ids of words seen before, in a bounded, lossy table. Whole keys are compared, so an answer is
/// right or absent, and ids never depend on what is in here.
///
/// Level 1 holds words of up to 16 bytes with up to 3 ids, two to a cache line; level 2 holds words
/// of up to 32 bytes with up to 7 ids. A short word with more ids has an entry on level 1 that says
/// so: level 2 is asked only where it knows. Keys are padded with zero bytes, so no word may hold
/// one.
///
/// Level 1 measured (English prose, ids in MB/s): 2^15 lines (2 MB) 458, 2^16 564, 2^17 603 with
/// a slower start.
class WordCache {
 public:
  static constexpr std::size_t kShort = 16;  ///< bytes of a level 1 word
  static constexpr std::size_t kLong = 32;   ///< bytes of a level 2 word

  struct Key {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Key&) const = default;
  };

  /// Ids of a word and their count, stored and emitted as one 16-byte move.
  struct Entry {
    std::uint32_t ids[3] = {0, 0, 0};
    std::uint32_t count = 0;  ///< at most 3, or kOnLevel2
  };
  static constexpr std::uint32_t kOnLevel2 = 0xFFFFFFFFU;

  WordCache() : short_lines_(kShortLines), long_lines_(kLongLines) {}

  /// Key of a word of 1 to 16 bytes; 16 bytes are read.
  static Key key_of(const unsigned char* word, std::size_t n) {
    Key key;
    std::memcpy(&key.low, word, 8);
    std::memcpy(&key.high, word + 8, 8);
    key.low &= kMasks[n];
    key.high &= n > 8 ? kMasks[n - 8] : 0;
    return key;
  }

  static std::uint32_t line_of(Key key) {
    return static_cast<std::uint32_t>(hash(key.low, key.high) & (kShortLines - 1));
  }

  void prefetch(std::uint32_t line) const { __builtin_prefetch(&short_lines_[line]); }

  /// Entry of a short word, or null. Which of the two it is cannot be predicted, so it is computed.
  const Entry* find(std::uint32_t line, Key key) const {
    const ShortLine& at = short_lines_[line];
    const bool is_first = ((at.keys[0].low ^ key.low) | (at.keys[0].high ^ key.high)) == 0;
    const bool is_second = ((at.keys[1].low ^ key.low) | (at.keys[1].high ^ key.high)) == 0;
    if (!(is_first | is_second)) return nullptr;
    return &at.entries[static_cast<std::size_t>(is_second)];
  }

  /// Ids of a word of 1 to 32 bytes on level 2; empty when absent.
  std::span<const std::uint32_t> find_long(const unsigned char* word, std::size_t n) const {
    const LongKey key = long_key_of(word, n);
    const LongLine& line = long_lines_[line_of(key)];
    if (std::memcmp(line.key, key.bytes, kLong) != 0) return {};
    return {line.ids, line.count};
  }

  /// Remembers the ids of a word of 1 to 32 bytes, if there is a place of its size.
  void insert(const unsigned char* word, std::size_t n, std::span<const std::uint32_t> ids) {
    const bool is_on_level_2 = n > kShort || ids.size() > 3;
    if (n > kLong || ids.size() > (is_on_level_2 ? 7U : 3U)) return;
    if (n <= kShort) {
      Entry entry;
      if (is_on_level_2) {
        entry.count = kOnLevel2;
      } else {
        if (!ids.empty()) std::memcpy(entry.ids, ids.data(), ids.size_bytes());
        entry.count = static_cast<std::uint32_t>(ids.size());
      }
      insert_short(word, n, entry);
    }
    if (is_on_level_2 && !ids.empty()) {
      const LongKey key = long_key_of(word, n);
      LongLine& line = long_lines_[line_of(key)];
      std::memcpy(line.key, key.bytes, kLong);
      std::memcpy(line.ids, ids.data(), ids.size_bytes());
      line.count = static_cast<std::uint32_t>(ids.size());
    }
  }

 private:
  static constexpr std::size_t kShortLines = std::size_t{1} << 16;
  static constexpr std::size_t kLongLines = std::size_t{1} << 13;

  static constexpr std::uint64_t kMasks[17] = {
      0x0,
      0xFF,
      0xFFFF,
      0xFFFFFF,
      0xFFFFFFFF,
      0xFFFFFFFFFF,
      0xFFFFFFFFFFFF,
      0xFFFFFFFFFFFFFF,
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
      ~std::uint64_t{0},
  };

  struct alignas(64) ShortLine {
    Key keys[2];
    Entry entries[2];
  };
  struct alignas(64) LongLine {
    unsigned char key[kLong] = {};
    std::uint32_t ids[7] = {};
    std::uint32_t count = 0;
  };
  struct LongKey {
    unsigned char bytes[kLong] = {};
  };
  static_assert(sizeof(ShortLine) == 64 && sizeof(LongLine) == 64);

  void insert_short(const unsigned char* word, std::size_t n, const Entry& entry) {
    unsigned char padded[kShort] = {};
    std::memcpy(padded, word, n);
    const Key key = key_of(padded, n);
    ShortLine& line = short_lines_[line_of(key)];
    // The first word stays: it is a word of the vocabulary or a frequent one, and rare words take
    // turns in the other place. (The newest in the first place: ids 346 MB/s, so: 458.)
    const std::size_t way = (line.keys[0].low | line.keys[0].high) == 0 ? 0 : 1;
    line.keys[way] = key;
    line.entries[way] = entry;
  }

  // One widening multiply mixes 16 bytes (the "mum" step of wyhash); the constants are its own.
  static std::uint64_t hash(std::uint64_t low, std::uint64_t high) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{low ^ 0xA0761D6478BD642FULL} * (high ^ 0xE7037ED1A0B428DBULL);
    return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
  }

  static LongKey long_key_of(const unsigned char* word, std::size_t n) {
    LongKey key;
    std::memcpy(key.bytes, word, n);
    return key;
  }

  static std::size_t line_of(const LongKey& key) {
    std::uint64_t parts[4];
    std::memcpy(parts, key.bytes, sizeof parts);
    return hash(parts[0] ^ hash(parts[2], parts[3]), parts[1]) & (kLongLines - 1);
  }

  std::vector<ShortLine> short_lines_;
  std::vector<LongLine> long_lines_;
};

}  // namespace vecsmith
