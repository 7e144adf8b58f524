// The double array against std::map.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/trie.hpp"

namespace {

using namespace vecsmith;
using testing::Random;
using testing::rounds;

using Map = std::map<std::string, std::uint32_t>;

Trie trie_of(const Map& map) {
  std::vector<Trie::Entry> entries;
  for (const auto& [key, value] : map) entries.emplace_back(key, value);
  return Trie(entries);
}

Trie::Match longest_in(const Map& map, std::string_view text) {
  for (std::size_t n = text.size(); n > 0; --n) {
    const auto found = map.find(std::string(text.substr(0, n)));
    if (found != map.end()) return {n, found->second};
  }
  return {};
}

void check_text(const Trie& trie, const Map& map, const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
  const Trie::Match found = trie.longest_prefix(exact.data(), exact.data() + exact.size());
  const Trie::Match expected = longest_in(map, text);
  CHECK_EQ(found.length, expected.length);
  CHECK_EQ(found.value, expected.value);
}

TEST_CASE(an_empty_trie_matches_nothing) {
  const Trie trie;
  for (unsigned b = 0; b < 256; ++b) check_text(trie, {}, std::string(3, static_cast<char>(b)));
  check_text(trie, {}, "");
}

TEST_CASE(the_longest_key_wins_and_a_missing_middle_is_bridged) {
  const Map map = {{"a", 1}, {"abc", 2}, {"abcdef", 3}, {"b", 4}};
  const Trie trie = trie_of(map);
  for (const char* text : {"", "a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "b", "c"}) {
    check_text(trie, map, text);
  }
}

TEST_CASE(of_equal_keys_the_first_stays) {
  const Trie trie({{"key", 7}, {"other", 1}, {"key", 8}});
  const std::string_view text = "key";
  CHECK_EQ(trie.longest_prefix(text.data(), text.data() + 3).value, 7U);
}

TEST_CASE(every_byte_may_be_in_a_key) {
  Map map;
  for (unsigned a = 0; a < 256; ++a) {
    map[std::string(1, static_cast<char>(a))] = a;
    map[{static_cast<char>(a), static_cast<char>(255 - a)}] = 1000 + a;
  }
  const Trie trie = trie_of(map);
  for (unsigned a = 0; a < 256; ++a) {
    for (unsigned b = 0; b < 256; b += 5) {
      check_text(trie, map, {static_cast<char>(a), static_cast<char>(b), 'x'});
    }
  }
}

TEST_CASE(random_keys_are_found_as_in_a_map) {
  Random random(1);
  for (std::size_t round = 0; round < rounds(150); ++round) {
    // A small alphabet makes keys that are prefixes of each other; bytes 0 and 255 are the edges.
    const std::string alphabet =
        random.one_in(2) ? std::string("ab") : std::string("\0\1a\xFE\xFF", 5);
    Map map;
    for (std::size_t n = random.below(300); n > 0; --n) {
      std::string key;
      for (std::size_t k = 1 + random.below(12); k > 0; --k) key.push_back(random.pick(alphabet));
      map[key] = static_cast<std::uint32_t>(random.below(1U << 31U));
    }
    const Trie trie = trie_of(map);
    for (const auto& [key, value] : map) {
      const Trie::Match match = trie.longest_prefix(key.data(), key.data() + key.size());
      CHECK_EQ(match.length, key.size());
      CHECK_EQ(match.value, value);
    }
    for (std::size_t i = 0; i < 300; ++i) {
      std::string text;
      for (std::size_t k = random.below(20); k > 0; --k) text.push_back(random.pick(alphabet));
      check_text(trie, map, text);
    }
  }
}

TEST_CASE(crowded_and_scattered_labels_fit_into_the_array) {
  // Nodes with all 256 children beside nodes whose children are far apart.
  Random random(2);
  Map map;
  for (unsigned a = 0; a < 24; ++a) {
    for (unsigned b = 0; b < 256; ++b) map[{static_cast<char>(a * 7), static_cast<char>(b)}] = b;
  }
  for (std::size_t i = 0; i < 3000; ++i) {
    std::string key = "z";
    key.push_back(static_cast<char>(random.below(256)));
    key.push_back(static_cast<char>(random.below(256)));
    map[key + (random.one_in(2) ? '\0' : '\xFF')] = static_cast<std::uint32_t>(i);
  }
  const Trie trie = trie_of(map);
  for (const auto& [key, value] : map) check_text(trie, map, key + "tail");
}

TEST_CASE(a_very_long_key_is_no_deep_recursion) {
  const std::string key(1'000'000, 'a');
  const Trie trie({{key, 9}});
  CHECK_EQ(trie.longest_prefix(key.data(), key.data() + key.size()).value, 9U);
  CHECK_EQ(trie.longest_prefix(key.data(), key.data() + key.size() - 1).length, 0U);
}

TEST_CASE(a_hundred_thousand_keys_are_built_at_once) {
  Random random(3);
  Map map;
  while (map.size() < rounds(100'000)) {
    map[random.letters(2 + random.below(9))] = static_cast<std::uint32_t>(map.size());
  }
  const Trie trie = trie_of(map);
  for (const auto& [key, value] : map) {
    const Trie::Match match = trie.longest_prefix(key.data(), key.data() + key.size());
    if (match.length != key.size() || match.value != value) CHECK_EQ(key, "not found");
  }
}

}  // namespace
