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
    Match best;
    std::uint32_t node = 0;
    const Node* const nodes = nodes_.data();
    for (const char* p = text; p != end; ++p) {
      const std::uint32_t next = nodes[node].base + static_cast<unsigned char>(*p);
      if (nodes[next].parent != node) break;
      node = next;
      if (nodes[node].value != kNone) {
        best = {static_cast<std::size_t>(p - text) + 1, nodes[node].value};
      }
    }
    return best;
  }

 private:
  struct Node {
    std::uint32_t base = 0;
    std::uint32_t parent = kNone;
    std::uint32_t value = kNone;
  };

  std::uint32_t find_base(const std::vector<std::uint32_t>& labels);
  std::size_t free_from(std::size_t slot);
  void grow(std::size_t size);

  std::vector<Node> nodes_;
  // Only while it is built: where to look for a free slot from a taken one, and where the last
  // search for so many labels ended.
  std::vector<std::uint32_t> skips_;
  std::vector<std::size_t> hints_;
};

}  // namespace vecsmith
