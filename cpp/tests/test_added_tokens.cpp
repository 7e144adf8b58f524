// Added tokens: hand values for the flags, then random tokens and texts against a search that tries
// every token at every place.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/added_tokens.hpp"

namespace {

using namespace vecsmith;
using testing::PlainPiece;

std::vector<std::string> contents_of(const std::vector<AddedToken>& tokens) {
  std::vector<std::string> contents;
  contents.reserve(tokens.size());
  for (const AddedToken& token : tokens) contents.push_back(token.content);
  return contents;
}

std::vector<PlainPiece> split(const std::vector<AddedToken>& tokens, std::string_view text) {
  const AddedTokenMatcher matcher(tokens, contents_of(tokens));
  const std::vector<char> exact(text.begin(), text.end());
  std::vector<AddedTokenMatcher::Piece> pieces(3);  // what is there goes
  matcher.split({exact.data(), exact.size()}, pieces);
  std::vector<PlainPiece> plain;
  for (const auto& piece : pieces) {
    CHECK(!piece.text.empty());
    plain.push_back({std::string(piece.text), {}});
    if (piece.id != AddedTokenMatcher::Piece::kText) plain.back().id = piece.id;
  }
  return plain;
}

// Pieces as one string: text as it is, tokens as <id:text>.
std::string shown(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::string out;
  for (const PlainPiece& piece : split(tokens, text)) {
    if (!out.empty()) out += '|';
    if (piece.id) out.append("<").append(std::to_string(*piece.id)).append(":");
    out += piece.text;
    if (piece.id) out += '>';
  }
  return out;
}

TEST_CASE(a_text_without_tokens_is_one_piece_and_an_empty_one_none) {
  CHECK_EQ(shown({}, "abc"), "abc");
  CHECK_EQ(shown({{"[X]", 5}}, "abc"), "abc");
  CHECK_EQ(shown({{"[X]", 5}}, ""), "");
}

TEST_CASE(tokens_are_found_in_any_number_and_place) {
  CHECK_EQ(shown({{"[X]", 5}}, "[X]a[X][X]b[X"), "<5:[X]>|a|<5:[X]>|<5:[X]>|b[X");
}

TEST_CASE(the_leftmost_token_wins_and_of_those_the_longest) {
  const std::vector<AddedToken> tokens = {{"ab", 1}, {"abc", 2}, {"bcde", 3}};
  CHECK_EQ(shown(tokens, "abcde"), "<2:abc>|de");
  CHECK_EQ(shown(tokens, "xbcde"), "x|<3:bcde>");
  CHECK_EQ(shown(tokens, "abxabc"), "<1:ab>|x|<2:abc>");
}

TEST_CASE(a_single_word_token_needs_no_word_character_beside_it) {
  const std::vector<AddedToken> tokens = {{.content = "is", .id = 1, .single_word = true}};
  CHECK_EQ(shown(tokens, "this is-is is1 is"), "this |<1:is>|-|<1:is>| is1 |<1:is>");
  CHECK_EQ(shown(tokens, "\xC3\xA9is is\xE7\x8C\xAB \xE2\x82\xACis"),
           "\xC3\xA9is is\xE7\x8C\xAB \xE2\x82\xAC|<1:is>");
}

TEST_CASE(a_discarded_match_still_hides_what_begins_inside_it) {
  const std::vector<AddedToken> tokens = {{.content = "abc", .id = 1, .single_word = true},
                                          {.content = "bc", .id = 2}};
  CHECK_EQ(shown(tokens, "xabc bc"), "xabc |<2:bc>");
}

TEST_CASE(lstrip_and_rstrip_take_white_space_of_every_kind) {
  const std::vector<AddedToken> tokens = {{.content = "L", .id = 1, .lstrip = true},
                                          {.content = "R", .id = 2, .rstrip = true}};
  CHECK_EQ(shown(tokens, "a \t\nL b"), "a|<1: \t\nL>| b");
  CHECK_EQ(shown(tokens, "a R \xE3\x80\x80 b"), "a |<2:R \xE3\x80\x80 >|b");
  CHECK_EQ(shown(tokens, "R  L"), "<2:R  >|<1:L>");  // the white space is gone already
  CHECK_EQ(shown(tokens, "  L"), "<1:  L>");
}

TEST_CASE(ill_formed_bytes_are_no_space_and_no_word) {
  const std::vector<AddedToken> tokens = {{.content = "L", .id = 1, .lstrip = true},
                                          {.content = "w", .id = 2, .single_word = true}};
  CHECK_EQ(shown(tokens, " \x80L"), " \x80|<1:L>");
  CHECK_EQ(shown(tokens, "a\x80w"), "a\x80|<2:w>");
}

TEST_CASE(first_bytes_and_begins_at_tell_where_a_token_may_be) {
  const std::vector<AddedToken> tokens = {{"[X]", 5}, {"", 6}};
  const AddedTokenMatcher matcher(tokens, contents_of(tokens));
  CHECK(matcher.is_first_byte('['));
  CHECK(!matcher.is_first_byte('X'));
  const std::string_view text = "[X][";
  CHECK(matcher.begins_at(text.data(), text.data() + 4));
  CHECK(!matcher.begins_at(text.data(), text.data() + 2));
  CHECK(!matcher.begins_at(text.data() + 3, text.data() + 4));
}

TEST_CASE(much_white_space_around_tokens_takes_linear_time) {
  const std::vector<AddedToken> tokens = {
      {.content = " ", .id = 1, .lstrip = true, .rstrip = true}};
  const std::string text(300'000, ' ');  // hours if every match walked over all of it
  CHECK(!split(tokens, text).empty());
}

TEST_CASE(random_tokens_are_found_as_by_trying_all) {
  testing::Random random(6);
  const std::string_view parts[] = {"a", "b", " ", "\xC3\xA9", "\xE3\x80\x80", "\x80", "-"};
  const auto random_text = [&](std::size_t n) {
    std::string text;
    for (; n > 0; --n) text += random.pick(parts);
    return text;
  };
  for (std::size_t round = 0; round < testing::rounds(4000); ++round) {
    std::vector<AddedToken> tokens;
    for (std::size_t n = 1 + random.below(5); n > 0; --n) {
      tokens.push_back({.content = random_text(1 + random.below(3)),
                        .id = static_cast<std::uint32_t>(n),
                        .single_word = random.one_in(3),
                        .lstrip = random.one_in(3),
                        .rstrip = random.one_in(3)});
      if (tokens.back().content[0] == '\x80') tokens.back().content[0] = 'a';  // ids are of text
    }
    for (std::size_t i = 0; i < 10; ++i) {
      const std::string text = random_text(random.below(16));
      const auto found = split(tokens, text);
      const auto expected = testing::plain_split(text, tokens, contents_of(tokens));
      CHECK(found == expected);
    }
  }
}

}  // namespace
