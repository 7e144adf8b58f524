#include "vecsmith/trie.hpp"

#include <algorithm>

#include "slot_search.hpp"

namespace vecsmith {

namespace {

// A child may sit anywhere in [base, base + 255], so the array always ends in that much slack.
constexpr std::size_t kLabels = 256;

}  // namespace

Trie::Trie(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [](const Entry& a, const Entry& b) { return a.first == b.first; }),
                entries.end());
  grow(2 * kLabels + 2 * entries.size());
  SlotSearch search(kLabels);
  // The root is nobody's child; its own index would make every leaf's empty base look like a match.
  nodes_[0].parent = kNone - 1;

  struct Range {
    std::uint32_t node;
    std::size_t begin, end, depth;
  };
  std::vector<Range> open{{0, 0, entries.size(), 0}};
  std::vector<std::uint32_t> labels;
  std::vector<std::size_t> starts;
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    std::size_t i = range.begin;
    if (i < range.end && entries[i].first.size() == range.depth) {
      if (range.depth > 0) {
        nodes_[range.node].base = kHasValue;
        values_[range.node] = entries[i].second;
      }
      ++i;
    }
    labels.clear();
    starts.clear();
    for (; i < range.end; ++i) {
      const auto label = static_cast<unsigned char>(entries[i].first[range.depth]);
      if (labels.empty() || labels.back() != label) {
        labels.push_back(label);
        starts.push_back(i);
      }
    }
    if (labels.empty()) continue;
    starts.push_back(range.end);
    const std::uint32_t base = search.find_base(
        labels, [&](std::size_t from) { grow(from + 2 * kLabels); },
        [&](std::size_t slot) { return nodes_[slot].parent == kNone; });
    nodes_[range.node].base |= base;
    for (const std::uint32_t label : labels) nodes_[base + label].parent = range.node;
    for (std::size_t k = 0; k < labels.size(); ++k) {
      open.push_back({base + labels[k], starts[k], starts[k + 1], range.depth + 1});
    }
  }
  nodes_.shrink_to_fit();
  values_.shrink_to_fit();
}

void Trie::grow(std::size_t size) {
  if (nodes_.size() >= size) return;
  nodes_.resize(std::max(size, nodes_.size() * 3 / 2));
  values_.resize(nodes_.size());
}

}  // namespace vecsmith
