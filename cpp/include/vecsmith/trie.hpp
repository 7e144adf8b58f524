#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace vecsmith {

/// A set of byte strings with a value each, as a double array (Aoe, 1989): one load a byte.
class Trie {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  using Entry = std::pair<std::string_view, std::uint32_t>;

  Trie() : Trie(std::vector<Entry>{}) {}

  /// Builds from distinct, non-empty keys; the views are not kept. Of equal keys the first stays.
  explicit Trie(std::vector<Entry> entries);

  struct Match {
    std::size_t length = 0;  ///< bytes; 0 when nothing matches
    std::uint32_t value = kNone;
  };

  /// Longest key that `text` begins with.
  Match longest_prefix(const char* text, const char* end) const {
    std::uint32_t node = 0;
    std::uint32_t longest = 0;
    const char* after = text;
    const Node* const nodes = nodes_.data();
    std::uint32_t base = nodes[0].base;
    for (const char* p = text; p != end; ++p) {
      const std::uint32_t next = base + static_cast<unsigned char>(*p);
      if (nodes[next].parent != node) break;
      node = next;
      base = nodes[node].base & ~kHasValue;
      if ((nodes[node].base & kHasValue) != 0) {
        longest = node;
        after = p + 1;
      }
    }
    if (longest == 0) return {};
    return {static_cast<std::size_t>(after - text), values_[longest]};
  }

  /// Calls `found(length, value)` for each key that `text` begins with, the shortest first.
  template <typename Found>
  void for_each_prefix(const char* text, const char* end, Found&& found) const {
    const Node* const nodes = nodes_.data();
    std::uint32_t node = 0;
    std::uint32_t base = nodes[0].base;
    for (const char* p = text; p != end; ++p) {
      const std::uint32_t next = base + static_cast<unsigned char>(*p);
      if (nodes[next].parent != node) return;
      node = next;
      base = nodes[node].base & ~kHasValue;
      if ((nodes[node].base & kHasValue) != 0) {
        found(static_cast<std::size_t>(p + 1 - text), values_[node]);
      }
    }
  }

  /// Value of `key`, or kNone.
  std::uint32_t find(std::string_view key) const {
    const Match match = longest_prefix(key.data(), key.data() + key.size());
    return match.length == key.size() ? match.value : kNone;
  }

 private:
  // Eight bytes: what a walk touches must fit the caches. Values are read once, at its end.
  static constexpr std::uint32_t kHasValue = 0x80000000U;
  struct Node {
    std::uint32_t base = 0;        // where children begin, and kHasValue
    std::uint32_t parent = kNone;  // kNone: the place is free
  };

  void grow(std::size_t size);

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> values_;
};

}  // namespace vecsmith
