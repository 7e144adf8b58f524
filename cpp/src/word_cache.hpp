#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/words.hpp"
#include "vecsmith/ids.hpp"

namespace vecsmith {

/// Ids of words seen before, in a bounded, lossy table. Whole keys are compared, so an answer is
/// right or absent, and ids never depend on what is in here.
///
/// Three levels, each in lines of 64 bytes: words of up to 8 bytes with up to 2 ids, four to a
/// line; of up to 16 bytes with up to 3 ids, two to a line; of up to 32 bytes with up to 7 ids, in
/// one of two lines side by side. The ids of words that have more lie in a ring, of which an entry
/// holds the place. Keys are padded with zero bytes, so no word may hold one.
///
/// What counts is how many lines the words of a text touch: they share the second level cache with
/// the rows of the table. (Keys of 16 bytes for all words, 4 MB: a sixth slower.)
class WordCache {
 public:
  static constexpr std::size_t kShort = kernels::kShortWord;  ///< bytes of a level 2 word
  static constexpr std::size_t kLong = 32;                    ///< bytes of a level 3 word
  static constexpr std::size_t kMostIds = 64;  ///< of a word; those with more are not kept

  WordCache()
      : tiny_lines_(kLines),
        short_lines_(kShortLines),
        long_lines_(kLongLines),
        ring_(kRing + kernels::kRingSlack) {}

  /// The lines of words of up to 16 bytes, for kernels to look into.
  kernels::WordLines lines() const {
    return {tiny_lines_.data(), short_lines_.data(), kLines - 1, kShortLines - 1};
  }

  /// The ids of words that have more than a line holds; what is inserted later is seen through it.
  kernels::WordRing ring() const { return {ring_.data(), &n_ringed_, kRing}; }

  /// Writes the ids of a word of 1 to 32 bytes to `out` and moves it behind them; false where they
  /// are not known. `out` must hold kMostIds entries, whatever their number.
  bool append(const char* word, std::size_t n, std::uint32_t*& out) const {
    if (n > kShort) return append_long(word, n, out);
    const Key key = key_of(word, n);
    return n <= kernels::kTinyWord ? append_tiny(key, out) : append_short(key, out);
  }

  /// Appends the ids of a word of any length to `ids`; false where they are not known.
  bool append(std::string_view word, IdBuffer& ids) const {
    if (word.size() > kLong) return false;
    ids.reserve_more(kMostIds);
    std::uint32_t* const begin = ids.data() + ids.size();
    std::uint32_t* out = begin;
    const bool is_known = append(word.data(), word.size(), out);
    ids.set_size(ids.size() + static_cast<std::size_t>(out - begin));
    return is_known;
  }

  /// Asks for the lines of a word of 17 bytes or more: a kernel has asked for those of others.
  void prefetch_long(std::string_view word) const {
    if (word.size() > kLong) return;
    const LongLine* const lines = &long_lines_[line_of(long_key_of(word.data(), word.size()))];
    __builtin_prefetch(lines);
    __builtin_prefetch(lines + 1);
  }

  /// Remembers the ids of a word of 1 to 32 bytes, unless there are too many.
  void insert(const char* word, std::size_t n, std::span<const std::uint32_t> ids) {
    if (n > kLong || ids.size() > kMostIds) return;
    if (n > kShort) return insert_long(word, n, ids);
    const Key key = key_of(word, n);
    n <= kernels::kTinyWord ? insert_tiny(key, ids) : insert_short(key, ids);
  }

 private:
  using Key = kernels::WordKey;
  using TinyLine = kernels::TinyLine;
  using ShortLine = kernels::ShortLine;

  static constexpr std::size_t kLines = std::size_t{1} << 15;
  static constexpr std::size_t kShortLines = std::size_t{1} << 15;
  static constexpr std::size_t kLongLines = std::size_t{1} << 15;
  static constexpr std::uint32_t kRing = std::uint32_t{1} << 19;
  static constexpr std::uint32_t kLongInRing = 0xFFFFFFFFU;
  // Places in the ring are told by 31 bits: before they come round, what refers to it is dropped.
  static constexpr std::uint32_t kLastPlace = std::uint32_t{1} << 30;

  struct LongKey {
    Key parts[2];
    bool operator==(const LongKey&) const = default;
  };
  struct alignas(64) LongLine {
    LongKey key;
    std::uint32_t ids[7];
    std::uint32_t count;
  };
  struct Stretch {
    std::uint32_t place, count;
  };
  static_assert(sizeof(LongLine) == 64);

  // The bytes of a word of 1 to 16, from loads of fixed sizes that overlap: a copy of a length that
  // is not known is a call.
  static Key key_of(const char* word, std::size_t n) {
    if (n > 8)
      return {load<std::uint64_t>(word), load<std::uint64_t>(word + n - 8) >> (128 - 8 * n)};
    if (n == 8) return {load<std::uint64_t>(word), 0};
    if (n >= 4) {
      const std::uint64_t first = load<std::uint32_t>(word);
      return {first | std::uint64_t{load<std::uint32_t>(word + n - 4)} << (8 * n - 32), 0};
    }
    const auto byte = [=](std::size_t i) {
      return std::uint64_t{static_cast<unsigned char>(word[i])} << (8 * i);
    };
    return {byte(0) | byte(n / 2) | byte(n - 1), 0};
  }

  template <typename Number>
  static Number load(const char* from) {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return number;
  }

  bool append_tiny(Key key, std::uint32_t*& out) const {
    const TinyLine& line = tiny_lines_[kernels::hash_word(key) & (kLines - 1)];
    std::size_t way = 0;
    while (way < 4 && line.keys[way] != key.low) ++way;
    if (way == 4) return false;
    const std::uint64_t value = line.values[way];
    const std::uint64_t count = value >> (2 * kernels::kIdBits);
    const auto first = static_cast<std::uint32_t>(value & kernels::kIdMask);
    const auto second = static_cast<std::uint32_t>(value >> kernels::kIdBits & kernels::kIdMask);
    if (count == kernels::kTinyInRing) return append_ring({first, second}, out);
    out[0] = first;
    out[1] = second;
    out += count;
    return true;
  }

  bool append_short(Key key, std::uint32_t*& out) const {
    const ShortLine& line = short_lines_[kernels::hash_word(key) & (kShortLines - 1)];
    const std::size_t way = line.keys[0] == key ? 0 : 1;
    if (line.keys[way] != key) return false;
    const ShortLine::Entry& entry = line.entries[way];
    if (entry.count == kernels::kShortInRing) {
      return append_ring({entry.ids[0], entry.ids[1]}, out);
    }
    out = std::copy_n(entry.ids, entry.count, out);
    return true;
  }

  bool append_long(const char* word, std::size_t n, std::uint32_t*& out) const {
    const LongKey key = long_key_of(word, n);
    const LongLine* const lines = &long_lines_[line_of(key)];
    const LongLine& line = lines[lines[0].key == key ? 0 : 1];
    if (line.key != key) return false;
    if (line.count == kLongInRing) return append_ring({line.ids[0], line.ids[1]}, out);
    out = std::copy_n(line.ids, line.count, out);
    return true;
  }

  bool append_ring(Stretch at, std::uint32_t*& out) const {
    if (n_ringed_ - at.place > kRing) return false;
    out = std::copy_n(ring_.data() + (at.place & (kRing - 1)), at.count, out);
    return true;
  }

  Stretch put_in_ring(std::span<const std::uint32_t> ids) {
    if (n_ringed_ > kLastPlace) drop_all();
    // The ids of a word never go around the end.
    const std::uint32_t left = kRing - (n_ringed_ & (kRing - 1));
    if (ids.size() > left) n_ringed_ += left;
    const Stretch at{n_ringed_, static_cast<std::uint32_t>(ids.size())};
    std::ranges::copy(ids, ring_.begin() + (n_ringed_ & (kRing - 1)));
    n_ringed_ += at.count;
    return at;
  }

  void drop_all() {
    std::ranges::fill(tiny_lines_, TinyLine{});
    std::ranges::fill(short_lines_, ShortLine{});
    std::ranges::fill(long_lines_, LongLine{});
    n_ringed_ = 0;
  }

  void insert_tiny(Key key, std::span<const std::uint32_t> ids) {
    using kernels::kIdBits;
    std::uint64_t value = 0;
    if (ids.size() > 2) {
      const Stretch at = put_in_ring(ids);
      value = kernels::kTinyInRing << (2 * kIdBits) | std::uint64_t{at.count} << kIdBits | at.place;
    } else {
      value = std::uint64_t{ids.size()} << (2 * kIdBits);
      for (std::size_t i = 0; i < ids.size(); ++i) value |= std::uint64_t{ids[i]} << (i * kIdBits);
    }
    TinyLine& line = tiny_lines_[kernels::hash_word(key) & (kLines - 1)];
    std::size_t way = 0;
    while (way < 4 && line.keys[way] != 0 && line.keys[way] != key.low) ++way;
    if (way == 4) {
      // The first words stay: they are words of the vocabulary or frequent ones. Rare words take
      // turns in the other places.
      line.keys[3] = line.keys[2];
      line.values[3] = line.values[2];
      way = 2;
    }
    line.keys[way] = key.low;
    line.values[way] = value;
  }

  void insert_short(Key key, std::span<const std::uint32_t> ids) {
    ShortLine::Entry entry{};
    if (ids.size() > 3) {
      const Stretch at = put_in_ring(ids);
      entry = {{at.place, at.count, 0}, kernels::kShortInRing};
    } else {
      std::copy(ids.begin(), ids.end(), entry.ids);
      entry.count = static_cast<std::uint32_t>(ids.size());
    }
    ShortLine& line = short_lines_[kernels::hash_word(key) & (kShortLines - 1)];
    const bool is_first = line.keys[0] == Key{} || line.keys[0] == key;
    const std::size_t way = is_first ? 0 : 1;
    line.keys[way] = key;
    line.entries[way] = entry;
  }

  void insert_long(const char* word, std::size_t n, std::span<const std::uint32_t> ids) {
    const LongKey key = long_key_of(word, n);
    Stretch at{};
    if (ids.size() > 7) at = put_in_ring(ids);
    LongLine* const lines = &long_lines_[line_of(key)];
    const bool is_first = lines[0].key == LongKey{} || lines[0].key == key;
    LongLine& line = lines[is_first ? 0 : 1];
    line.key = key;
    if (ids.size() > 7) {
      line.ids[0] = at.place;
      line.ids[1] = at.count;
      line.count = kLongInRing;
    } else {
      std::copy(ids.begin(), ids.end(), line.ids);
      line.count = static_cast<std::uint32_t>(ids.size());
    }
  }

  // Of a word of 17 to 32 bytes.
  static LongKey long_key_of(const char* word, std::size_t n) {
    return {{key_of(word, kShort), key_of(word + kShort, n - kShort)}};
  }

  // The first of the two lines that a long word may lie in.
  static std::size_t line_of(const LongKey& key) {
    const Key mixed{key.parts[0].low ^ kernels::hash_word(key.parts[1]), key.parts[0].high};
    return kernels::hash_word(mixed) & (kLongLines - 2);
  }

  std::vector<TinyLine> tiny_lines_;
  std::vector<ShortLine> short_lines_;
  std::vector<LongLine> long_lines_;
  std::vector<std::uint32_t> ring_;
  std::uint32_t n_ringed_ = 0;
};

/// Appends the ids of words [first, last) of `window`: of those that their lines hold at once, of
/// each other one by `append_missing(word)`.
template <typename AppendMissing>
void look_up_words(const kernels::Kernels& kernels, const unsigned char* window,
                   const kernels::WordProbes& probes, std::size_t first, std::size_t last,
                   IdBuffer& ids, AppendMissing append_missing) {
  for (std::size_t i = first; i < last; ++i) {
    ids.reserve_more(kernels::kRingSlack * (last - i));
    std::uint32_t* out = ids.data() + ids.size();
    i = kernels.find_words(probes, i, last, &out);
    ids.set_size(static_cast<std::size_t>(out - ids.data()));
    if (i == last) return;
    const std::size_t length = std::size_t{probes.ends[i]} - probes.starts[i];
    append_missing({reinterpret_cast<const char*>(window) + probes.starts[i], length});
  }
}

}  // namespace vecsmith
