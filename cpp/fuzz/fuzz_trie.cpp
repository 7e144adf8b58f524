// Keys and a text from the input: the longest key found is the longest there is.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "input.hpp"
#include "vecsmith/trie.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vecsmith;
  fuzz::Input input(data, size);
  std::map<std::string_view, std::uint32_t> oracle;
  std::vector<Trie::Entry> entries;
  for (std::size_t n = input.byte(); n > 0 && !input.empty(); --n) {
    const std::string_view key = input.bytes(input.byte() % 16);
    const auto value = static_cast<std::uint32_t>(entries.size());
    if (key.empty()) continue;
    entries.emplace_back(key, value);
    oracle.emplace(key, value);  // of equal keys the first stays
  }
  const Trie trie(entries);
  const std::string_view text = input.bytes(size);
  for (std::size_t at = 0; at < text.size(); ++at) {
    Trie::Match expected;
    for (std::size_t n = std::min<std::size_t>(15, text.size() - at); n > 0; --n) {
      const auto found = oracle.find(text.substr(at, n));
      if (found == oracle.end()) continue;
      expected = {n, found->second};
      break;
    }
    const Trie::Match match = trie.longest_prefix(text.data() + at, text.data() + text.size());
    fuzz::require(match.length == expected.length, "the longest key is found");
    fuzz::require(match.value == expected.value, "with its value");
  }
  return 0;
}
