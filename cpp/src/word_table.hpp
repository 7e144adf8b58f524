#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vecsmith {

/// A set of byte strings with a value each, found whole: one hash and one comparison.
class WordTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  struct Entry {
    std::string word;
    std::uint32_t value;
  };

  WordTable() : WordTable(std::vector<Entry>{}) {}

  /// Of equal words the first stays. Throws std::invalid_argument for 4 GB of words and more.
  explicit WordTable(const std::vector<Entry>& entries);

  /// Value of `word`, or kNone.
  std::uint32_t find(std::string_view word) const;

 private:
  // The hash fills the upper half of a slot, the number of the word and 1 the lower; 0 is empty.
  using Slot = std::uint64_t;

  bool fill(const std::vector<Entry>& entries);
  std::uint64_t hash(std::string_view word) const;
  std::string_view word_at(Slot slot) const;

  std::string bytes_;
  std::vector<std::uint32_t> ends_{0};  // of each word, a 0 before them
  std::vector<std::uint32_t> values_;
  std::vector<Slot> slots_;
  std::uint64_t seed_ = 0;
};

}  // namespace vecsmith
