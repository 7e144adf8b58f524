// Hand values for patterns. That they match what tokenizers matches is checked by
// tests/parity/test_splitters.py.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "vecsmith/pattern.hpp"

namespace {

using namespace vecsmith;
using Matches = std::vector<std::string>;

Matches matches_of(const Pattern& pattern, std::string_view text) {
  Matches found;
  pattern.find_all(text, [&](std::size_t begin, std::size_t end) {
    found.emplace_back(text.substr(begin, end - begin));
  });
  return found;
}

Matches matches(std::string_view regex, std::string_view text) {
  const std::optional<Pattern> pattern = Pattern::of_regex(regex);
  CHECK(pattern.has_value());
  return pattern ? matches_of(*pattern, text) : Matches{};
}

bool is_known(std::string_view regex) { return Pattern::of_regex(regex).has_value(); }

TEST_CASE(a_literal_is_found_wherever_it_does_not_overlap_the_match_before) {
  CHECK_EQ(matches_of(Pattern("aa"), "aaaaa a"), Matches({"aa", "aa"}));
  CHECK_EQ(matches_of(Pattern("."), "a.b"), Matches({"."}));
  CHECK_THROWS(Pattern(""), std::invalid_argument);
  CHECK_THROWS(Pattern("a\x9F"), std::invalid_argument);  // it could match inside a character
  CHECK_THROWS(Pattern("\xED\xA0\x80"), std::invalid_argument);
}

TEST_CASE(runs_are_as_long_as_they_can_be) {
  CHECK_EQ(matches(" {2,}", "a b  c   "), Matches({"  ", "   "}));
  CHECK_EQ(matches("\\s+", " a\t\n\xC2\xA0"), Matches({" ", "\t\n\xC2\xA0"}));
  CHECK_EQ(matches("[0-9]{2}", "12345"), Matches({"12", "34"}));
  CHECK_EQ(matches("\\p{N}{1,3}", "12345\xC2\xBD"), Matches({"123", "45\xC2\xBD"}));
}

TEST_CASE(a_run_gives_back_what_comes_behind_it) {
  CHECK_EQ(matches("\\s+(?!\\S)", "a   b  "), Matches({"  ", "  "}));
  CHECK_EQ(matches("\\s*[\\r\\n]+", "a  \n \n  b"), Matches({"  \n \n"}));
  CHECK_EQ(matches("a++a", "aaa"), Matches{});
  CHECK_EQ(matches("\\p{Lu}*\\p{L}+", "ABc\xC3\x89"), Matches({"ABc\xC3\x89"}));
}

TEST_CASE(the_first_alternative_that_matches_is_taken) {
  CHECK_EQ(matches("a|ab", "ab"), Matches({"a"}));
  CHECK_EQ(matches("(?:ab|a)c?", "abcac"), Matches({"abc", "ac"}));
  CHECK_EQ(matches("(?i:'s|'LL)", "'S's'\xC5\xBF'lL"), Matches({"'S", "'s", "'\xC5\xBF", "'lL"}));
}

TEST_CASE(a_dollar_stands_before_each_line_feed) {
  CHECK_EQ(matches("b$", "b\nb b"), Matches({"b", "b"}));
}

TEST_CASE(brackets_are_united_intersected_and_complemented) {
  CHECK_EQ(matches("[^a-c\\d]", "abcd1"), Matches({"d"}));
  CHECK_EQ(matches("[\\p{L}&&[^\\p{Han}]]+", "a\xE4\xB8\xAD"), Matches({"a"}));
  CHECK_EQ(matches("[^\xE4\xB8\x80-\xE9\xBE\xA5]", "\xE4\xB8\xAD\xE3\x81\x82"),
           Matches({"\xE3\x81\x82"}));
}

TEST_CASE(superscripts_are_word_characters_outside_of_brackets_alone) {
  CHECK_EQ(matches("\\w", "\xC2\xB2"), Matches({"\xC2\xB2"}));
  CHECK_EQ(matches("[\\w]", "\xC2\xB2"), Matches{});
}

TEST_CASE(what_could_mean_something_else_is_not_known) {
  for (const std::string_view regex :
       {"",        "a*",        "a|",         "(?=a)",       "^a",      "a{",
        "a{2",     "a{3,2}",    "a{0}",       "a{999}",      "a**",     "a{2}+",
        "a+?",     "(a",        "a)",         "[a",          "[]",      "[]a]",
        "[a-d-f]", "[b-a]",     "[\\w-z]",    "[[:alpha:]]", "\\b",     "\\x41",
        "\\pL",    "\\p{Latin", "\\p{Greek}", "(?i:ss)",     "(?i:fi)", "(?i:(?=s).+)",
        "(?:$)?a", "(?i:[^a])", "(?<=a)b",    "(?=\\W).*m",  "b|$a",    "(?i)a",
        "\\",      "(?:ab)+",   "(a)\\1",     "\\h",         "\\R",     "\xFF",
        "[^"}) {
    if (is_known(regex)) CHECK_EQ(regex, "not known");
  }
}

TEST_CASE(ill_formed_bytes_are_characters_that_a_run_can_give_back) {
  // Three of them, each one U+FFFD, which is a symbol: the last is followed by something.
  CHECK_EQ(matches("\\p{S}+(?!a)",
                   "\x80\xE4\xB8\xBF\xE4\xB8"
                   "a"),
           Matches({"\x80"}));
  CHECK_EQ(matches("[^a]+(?!a)",
                   "\xF0\x9F\x98\x80\x80"
                   "a"),
           Matches({"\xF0\x9F\x98\x80"}));
}

TEST_CASE(a_run_that_leads_nowhere_is_looked_through_once) {
  // Minutes, were each of these characters to look at all that follow.
  const std::string spaces(2'000'000, ' ');
  CHECK_EQ(matches("\\s+$", spaces + "x").size(), 0U);
  CHECK_EQ(matches("\\s++$", spaces + "x").size(), 0U);
  CHECK_EQ(matches(" {2,}x", spaces + "y").size(), 0U);
  CHECK_EQ(matches("\\s*\\s*\\s*x", spaces + "y").size(), 0U);
  CHECK_EQ(matches("\\s*[\\r\\n]+x", std::string(2'000'000, '\n')).size(), 0U);
}

}  // namespace
