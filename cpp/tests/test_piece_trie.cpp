// Pieces by their characters, against a map of them.

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/piece_trie.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;

// The pieces that a walk along `text` meets, as ids.
std::vector<std::uint32_t> prefixes_of(const PieceTrie& trie, std::string_view text) {
  std::vector<std::uint32_t> ids;
  std::uint32_t node = 0;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const std::uint32_t next = trie.nodes()[node].base + trie.number(decode_utf8(p, end));
    if (trie.nodes()[next].parent != node) break;
    node = next;
    if (trie.nodes()[node].score != PieceTrie::kNoScore) ids.push_back(trie.id(node));
  }
  return ids;
}

TEST_CASE(every_piece_is_found_and_its_beginnings_on_the_way) {
  testing::Random random(3);
  const std::vector<std::string> characters = {
      "a",           "b", "c", "\xC3\xA4", "\xE6\xBC\xA2", "\xE6\xBC\xA3", "\xF0\x9F\x98\x80",
      "\xEF\xBF\xBD"};
  for (std::size_t round = 0; round < testing::rounds(60); ++round) {
    const auto is_lead = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; };
    const auto some_text = [&] {
      std::string text;
      for (std::size_t n = 1 + random.below(6); n > 0; --n) text += random.pick(characters);
      return text;
    };
    std::map<std::string, std::uint32_t> expected;
    std::vector<std::string> texts;
    for (std::size_t n = random.below(300); n > 0; --n) texts.push_back(some_text());
    std::vector<PieceTrie::Piece> pieces;
    std::size_t longest = 0;
    for (const std::string& text : texts) {
      const auto id = static_cast<std::uint32_t>(pieces.size());
      pieces.push_back({text, -1.0 * id, id});
      expected.emplace(text, id);  // of equal ones the first stays
      longest = std::max(longest, static_cast<std::size_t>(std::ranges::count_if(text, is_lead)));
    }
    const PieceTrie trie(pieces);
    CHECK_EQ(trie.longest(), longest);
    for (std::size_t i = 0; i < 200; ++i) {
      const std::string text = some_text() + "z";
      std::vector<std::uint32_t> prefixes;
      for (std::size_t n = 1; n < text.size(); ++n) {
        if (!is_lead(text[n])) continue;  // within a character
        const auto found = expected.find(text.substr(0, n));
        if (found != expected.end()) prefixes.push_back(found->second);
        CHECK_EQ(trie.find(text.substr(0, n)),
                 found == expected.end() ? PieceTrie::kNone : found->second);
      }
      CHECK_EQ(prefixes_of(trie, text), prefixes);
    }
  }
}

// Children that are a thousand each of a hundred thousand characters hardly ever fit between
// others.
TEST_CASE(pieces_that_would_take_far_more_memory_than_they_are_long_are_refused) {
  testing::Random random(4);
  std::vector<std::string> texts;
  for (char32_t lead = 0; lead < 100; ++lead) {
    for (std::size_t n = 0; n < 1000; ++n) {
      std::string& text = texts.emplace_back();
      append_utf8(text, 0x4E00 + lead);
      append_utf8(text, 0x10000 + static_cast<char32_t>(random.below(100'000)));
    }
  }
  std::vector<PieceTrie::Piece> pieces;
  for (std::uint32_t i = 0; i < texts.size(); ++i) pieces.push_back({texts[i], -1.0, i});
  CHECK_THROWS(PieceTrie(pieces), std::invalid_argument);
}

TEST_CASE(empty_and_ill_formed_pieces_are_left_out) {
  const PieceTrie trie({{"", -1.0, 0}, {"\xE6\xBC", -1.0, 1}, {"a\xFF", -1.0, 2}, {"a", -1.0, 3}});
  CHECK_EQ(trie.find(""), PieceTrie::kNone);
  CHECK_EQ(trie.find("\xE6\xBC"), PieceTrie::kNone);
  CHECK_EQ(trie.find("a\xFF"), PieceTrie::kNone);
  CHECK_EQ(trie.find("a"), 3U);
  CHECK_EQ(trie.longest(), 1U);
  CHECK_EQ(PieceTrie().find("a"), PieceTrie::kNone);
}

}  // namespace
