#include "word_table.hpp"

#include <bit>
#include <cstring>
#include <stdexcept>

namespace vecsmith {

namespace {

// Slots that a search may pass. A table that is half empty stays far below it, unless its words
// were chosen to collide: then another seed is taken.
constexpr std::size_t kLongestProbe = 256;
constexpr int kSeeds = 64;

// One widening multiply mixes 16 bytes (the "mum" step of wyhash); the constants are its own.
std::uint64_t mix(std::uint64_t low, std::uint64_t high) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide{low ^ 0xA0761D6478BD642FULL} * (high ^ 0xE7037ED1A0B428DBULL);
  return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
}

std::uint64_t eight_bytes(const char* p, std::size_t n) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, p, n);
  return bytes;
}

}  // namespace

WordTable::WordTable(const std::vector<Entry>& entries) {
  std::size_t n_bytes = 0;
  for (const Entry& entry : entries) n_bytes += entry.word.size();
  if (n_bytes > 0xFFFFFFFFU || entries.size() > 0xFFFFFFF0U) {
    throw std::invalid_argument("found " + std::to_string(n_bytes) + " bytes in " +
                                std::to_string(entries.size()) + " words, expected less than 4 GB");
  }
  bytes_.reserve(n_bytes);
  ends_.reserve(entries.size() + 1);
  values_.reserve(entries.size());
  for (const Entry& entry : entries) {
    bytes_ += entry.word;
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    values_.push_back(entry.value);
  }
  // The seeds begin where the content says, so no content can be made to collide for all of them.
  const std::uint64_t content = hash(bytes_);
  for (int attempt = 0; attempt < kSeeds; ++attempt) {
    seed_ = mix(content, static_cast<std::uint64_t>(attempt));
    if (fill(entries)) return;
  }
  throw std::invalid_argument("words that collide in every table");
}

bool WordTable::fill(const std::vector<Entry>& entries) {
  slots_.assign(std::bit_ceil(2 * entries.size() + 2), 0);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t number = 0; number < entries.size(); ++number) {
    const std::uint64_t at = hash(entries[number].word);
    const Slot tag = at >> 32 << 32;
    std::size_t i = at & mask;
    std::size_t passed = 0;
    while (slots_[i] != 0) {
      const bool may_be = (slots_[i] >> 32 << 32) == tag;
      if (may_be && word_at(slots_[i]) == entries[number].word) break;
      if (++passed == kLongestProbe) return false;
      i = (i + 1) & mask;
    }
    if (slots_[i] == 0) slots_[i] = tag | (number + 1);
  }
  return true;
}

std::uint32_t WordTable::find(std::string_view word) const {
  const std::size_t mask = slots_.size() - 1;
  const std::uint64_t at = hash(word);
  for (std::size_t i = at & mask; slots_[i] != 0; i = (i + 1) & mask) {
    if (slots_[i] >> 32 != at >> 32 || word_at(slots_[i]) != word) continue;
    return values_[static_cast<std::uint32_t>(slots_[i]) - 1];
  }
  return kNone;
}

std::string_view WordTable::word_at(Slot slot) const {
  const std::size_t number = static_cast<std::uint32_t>(slot) - 1;
  return std::string_view(bytes_).substr(ends_[number], ends_[number + 1] - ends_[number]);
}

std::uint64_t WordTable::hash(std::string_view word) const {
  std::uint64_t state = seed_ ^ word.size();
  const char* p = word.data();
  std::size_t n = word.size();
  for (; n > 16; p += 16, n -= 16) {
    state = mix(eight_bytes(p, 8) ^ state, eight_bytes(p + 8, 8));
  }
  const std::uint64_t low = eight_bytes(p, n < 8 ? n : 8);
  const std::uint64_t high = n > 8 ? eight_bytes(p + 8, n - 8) : 0;
  return mix(low ^ state, high ^ (state >> 32));
}

}  // namespace vecsmith
