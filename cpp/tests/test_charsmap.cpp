// Character maps against the library's rule written down plainly, over maps made up at random.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "made_charsmap.hpp"
#include "random_text.hpp"
#include "vecsmith/charsmap.hpp"

namespace {

using namespace vecsmith;
using testing::MadeCharsmap;
using testing::Random;
using testing::Replacements;

Charsmap charsmap(const Replacements& replacements) {
  return Charsmap(MadeCharsmap(replacements).bytes());
}

std::string mapped(const Charsmap& map, std::string_view text) {
  const std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
  std::string out;
  map.append({exact.data(), exact.size()}, out);
  return out;
}

// What joins, and what is joined: every class, with few bytes and with many.
constexpr std::string_view kCharacters[] = {
    "a",          "b",          "z",          "A",          " ",          "\n",
    "\r",         "\t",         "\x7F",       "\u0301",     "\u0308",     "\u00e9",
    "\u00a9",     "\u0600",     "\u0627",     "\u0653",     "\u200d",     "\u200c",
    "\u200b",     "\u0915",     "\u093c",     "\u094d",     "\u0903",     "\u0937",
    "\u1100",     "\u1161",     "\u11a8",     "\uac00",     "\uac01",     "\u3000",
    "\u3042",     "\u3099",     "\uff21",     "\ufb01",     "\ufffd",     "\u2764",
    "\ufe0f",     "\u1f00",     "\U0001f468", "\U0001f1e6", "\U0001f3fb", "\U000110bd",
    "\U0001d165", "\U000e0001", "\U00011103", "\U00011133", "\U0010ffff"};

std::string random_text(Random& random, std::size_t n) {
  std::string out;
  while (n-- > 0) {
    if (random.one_in(12)) {
      append_utf8(out, static_cast<char32_t>(random.below(0x3100)));
    } else if (random.one_in(40)) {
      out.push_back('\0');
    } else {
      out += random.pick(kCharacters);
    }
  }
  return out;
}

Replacements random_replacements(Random& random) {
  Replacements replacements;
  for (std::size_t i = random.below(30); i-- > 0;) {
    std::string key = random_text(random, 1 + random.below(3));
    if (random.one_in(6)) key.resize(1 + random.below(key.size()));
    std::erase(key, '\0');
    std::string text = random_text(random, random.below(3));
    std::erase(text, '\0');
    if (!key.empty()) replacements[key] = text;
  }
  return replacements;
}

std::string random_bytes(Random& random, std::size_t n) {
  std::string out;
  while (out.size() < n) {
    if (random.one_in(2)) {
      out += random.pick(kCharacters);
    } else {
      out.push_back(static_cast<char>(random.below(256)));
    }
  }
  return out;
}

TEST_CASE(the_shortest_key_replaces_the_whole_cluster) {
  const Charsmap map = charsmap({{"a", "X"}, {"ab", "Y"}, {"a\u0301", "Z"}, {"c\u0301", "C"}});
  CHECK_EQ(mapped(map, "ab"), "Xb");
  CHECK_EQ(mapped(map, "ba\u0301b"), "bXb");
  CHECK_EQ(mapped(map, "c"), "c");
  CHECK_EQ(mapped(map, "c\u0301\u0301"), "C");
  CHECK_EQ(mapped(map, "e\u0301"), "e\u0301");
}

TEST_CASE(a_cluster_of_six_bytes_is_mapped_character_by_character) {
  const Charsmap map = charsmap({{"a", "X"}, {"\u0301", "'"}, {"c\u0301", "C"}});
  CHECK_EQ(mapped(map, "a\u0308\u0308"), "X");
  CHECK_EQ(mapped(map, "a\u0308\u0308\u0301"), "X\u0308\u0308'");
  CHECK_EQ(mapped(map, "c\u0301\u0308\u0308"), "c'\u0308\u0308");
}

TEST_CASE(a_nul_is_never_mapped_and_a_line_end_is_one_cluster) {
  const Charsmap map = charsmap({{"\r", "R"}, {"\n", "N"}, {"a", "X"}});
  CHECK_EQ(mapped(map, std::string_view("\0a\0", 3)), std::string_view("\0X\0", 3));
  CHECK_EQ(mapped(map, "\r\n\n\r"), "RNR");
}

TEST_CASE(a_nul_is_not_looked_up_even_where_the_array_has_something_for_it) {
  const MadeCharsmap made(Replacements{{"a", "X"}});
  std::vector<std::uint32_t> units = made.units();
  const std::uint32_t to_the_text_of_a = 256 ^ 512;
  units[256] = to_the_text_of_a << 10U | 1U << 8U;  // the child of the root for the byte 0
  const Charsmap map(testing::charsmap_of(units, made.texts()));
  CHECK_EQ(mapped(map, std::string_view("\0a", 2)), std::string_view("\0X", 2));
}

TEST_CASE(a_key_may_be_a_part_of_a_character_and_a_text_may_be_empty) {
  const Charsmap map = charsmap({{"\xE3\x81", "k"}, {"\xF0", ""}});
  CHECK_EQ(mapped(map, "\u3042\u3050\u30a2"), "kk\u30a2");
  CHECK_EQ(mapped(map, "a\U0001f468b"), "ab");
}

TEST_CASE(what_was_in_the_output_stays) {
  const Charsmap map = charsmap({{"a", "X"}});
  std::string out = "kept ";
  map.append("a\xFF", out);
  CHECK_EQ(out, "kept X\uFFFD");
}

TEST_CASE(an_empty_map_changes_nothing) {
  const Charsmap map = charsmap({});
  CHECK(map.is_unchanged(""));
  CHECK_EQ(mapped(map, ""), "");
  Random random(1);
  for (std::size_t i = 0; i < 200; ++i) {
    const std::string text = random_text(random, random.below(40));
    CHECK(map.is_unchanged(text));
    CHECK_EQ(mapped(map, text), text);
  }
}

TEST_CASE(any_map_does_as_the_plain_rule_says) {
  Random random(2);
  std::size_t changed = 0;
  for (std::size_t i = 0; i < testing::rounds(600); ++i) {
    const Replacements replacements = random_replacements(random);
    const Charsmap map = charsmap(replacements);
    for (std::size_t j = 0; j < 60; ++j) {
      const std::string text = random_text(random, random.below(24));
      const std::string expected = testing::mapped_plainly(replacements, text);
      CHECK_EQ(mapped(map, text), expected);
      if (map.is_unchanged(text)) CHECK_EQ(text, expected);
      if (text != expected) ++changed;
    }
  }
  CHECK(changed > 1000);
}

TEST_CASE(ill_formed_bytes_are_mapped_as_replacement_characters) {
  Random random(5);
  for (std::size_t i = 0; i < testing::rounds(4000); ++i) {
    const Replacements replacements = random_replacements(random);
    const Charsmap map = charsmap(replacements);
    const std::string bytes = random_bytes(random, random.below(30));
    CHECK_EQ(mapped(map, bytes), testing::mapped_plainly(replacements, bytes));
    CHECK(!map.is_unchanged(bytes) || mapped(map, bytes) == bytes);
  }
}

TEST_CASE(long_runs_before_and_behind_a_change_are_copied) {
  const Charsmap map = charsmap({{"\n", " "}, {"\u3000", " "}});
  Random random(6);
  for (std::size_t i = 0; i < testing::rounds(2000); ++i) {
    std::string text;
    std::string expected;
    for (std::size_t j = random.below(6); j-- > 0;) {
      const std::string run = random.letters(random.below(70));
      text += run + (random.one_in(2) ? "\n" : "\u3000");
      expected += run + " ";
    }
    CHECK_EQ(mapped(map, text), expected);
  }
}

TEST_CASE(clusters_without_end_are_mapped) {
  const Charsmap map = charsmap({{"a", "X"}, {"\u0308", ""}, {"\U0001f1e6", "A"}});
  std::string text = "a";
  std::string expected = "X";
  for (std::size_t i = 0; i < testing::rounds(100'000); ++i) {
    text += i % 2 == 0 ? "\u0301" : "\u0308";
    if (i % 2 == 0) expected += "\u0301";
  }
  CHECK_EQ(mapped(map, text), expected);
  std::string flags;
  for (std::size_t i = 0; i < testing::rounds(100'000); ++i) flags += "\U0001f1e6";
  CHECK_EQ(mapped(map, flags), std::string(testing::rounds(100'000), 'A'));
}

// Not timed: with work that grows with the square of a text this would take minutes.
TEST_CASE(runs_that_join_only_in_pairs_are_mapped_in_one_pass) {
  const Replacements replacements = {
      {"\u0344", "\u0308\u0301"}, {"\u0340", "\u0300"}, {"\u0958", "\u0915\u093c"},
      {"\uff9e", "\u3099"},       {"\u30ab", "k"},      {"\u0937\u0308", "S"}};
  const Charsmap map = charsmap(replacements);
  constexpr std::string_view kUnits[] = {"\u0915\u200d",       "\u0915\u0308",
                                         "\u0915\u094d",       "\u0915\u0308\u0344",
                                         "\u0937\u0308",       "\u0937\u0308\u0308\u0308",
                                         "\u0958\u200d",       "a\u200d",
                                         "\u2764\u200d",       "\u2764\u200d\u200d",
                                         "\u2764\u0308\u200d", "\u094d\u0344"};
  for (const std::string_view unit : kUnits) {
    std::string run;
    while (run.size() < 200'000) run += unit;
    for (const std::string_view tail : {"\u0344", "\u0340", "\u0958", "\uff9e", "\u30ab", "\xFF"}) {
      const std::string text = run + std::string(tail);
      CHECK_EQ(mapped(map, text), testing::mapped_plainly(replacements, text));
    }
  }
}

TEST_CASE(maps_that_the_library_refuses_or_fails_on_are_refused) {
  using testing::charsmap_of;
  const auto refused = [](const std::string& bytes) {
    CHECK_THROWS(Charsmap{bytes}, std::invalid_argument);
  };
  refused("");
  refused("abc");
  refused(std::string(4, '\0'));                  // no unit
  refused(std::string("\x08\0\0\0abcdefg", 11));  // fewer units than said
  refused(charsmap_of({0}, ""));                  // no children where the root says
  refused(charsmap_of(std::vector<std::uint32_t>(255), ""));
  refused(charsmap_of(std::vector<std::uint32_t>(256), "\xFF"));
  refused(charsmap_of(std::vector<std::uint32_t>(256), "\xED\xA0\x80"));

  const MadeCharsmap made(Replacements{{"a", "\u00e9"}});
  CHECK_EQ(mapped(Charsmap(made.bytes()), "a"), "\u00e9");
  const std::size_t leaf = 512;  // where the text of "a" is named
  const auto with_text_at = [&](std::uint32_t place) {
    std::vector<std::uint32_t> units = made.units();
    units[leaf] = 1U << 31U | place;
    return charsmap_of(units, made.texts());
  };
  CHECK_EQ(mapped(Charsmap(with_text_at(0)), "a"), "\u00e9");
  CHECK_EQ(mapped(Charsmap(with_text_at(3)), "a"), "");  // empty, at the very end
  refused(with_text_at(1));                              // within a character
  refused(with_text_at(4));
  refused(with_text_at(0x7FFFFFFF));
  std::vector<std::uint32_t> units = made.units();
  units[256 + 'a'] |= 0x1FFFFFU << 10U;  // its children are far outside
  refused(charsmap_of(units, made.texts()));
}

TEST_CASE(a_replacement_longer_than_allowed_is_refused_before_it_makes_texts_grow) {
  charsmap({{"a", std::string(Charsmap::kMaxReplacement, 'x')}});
  CHECK_THROWS(charsmap({{"a", std::string(Charsmap::kMaxReplacement + 1, 'x')}}),
               std::invalid_argument);
  CHECK_THROWS(Charsmap{std::string(Charsmap::kMaxBytes + 1, '\0')}, std::invalid_argument);
}

TEST_CASE(an_array_that_leads_back_to_itself_is_read_once) {
  // every unit is a child of the root and of every other, on any path
  std::vector<std::uint32_t> units(256);
  for (std::uint32_t i = 0; i < 256; ++i) units[i] = i | i << 10U;
  units['z'] |= 1U << 8U;  // and its text is named at the root
  const Charsmap map(testing::charsmap_of(units, "end"));
  CHECK_EQ(mapped(map, "az"), "aend");
  CHECK_EQ(mapped(map, "\u3042z"), "\u3042end");
}

TEST_CASE(random_units_are_refused_or_read) {
  Random random(8);
  std::size_t read = 0;
  for (std::size_t i = 0; i < testing::rounds(3000); ++i) {
    std::vector<std::uint32_t> units = MadeCharsmap(random_replacements(random)).units();
    for (std::size_t j = random.below(4); j-- > 0;) {
      units[random.below(units.size())] ^= 1U << random.below(32);
    }
    try {
      const Charsmap map(testing::charsmap_of(units, "some text"));
      ++read;
      for (std::size_t j = 0; j < 10; ++j) {
        std::string out;
        map.append(random_text(random, 20), out);
        for (const char32_t c : testing::characters(out)) CHECK(c <= kMaxCodePoint);
      }
    } catch (const std::invalid_argument&) {
    }
  }
  CHECK(read > 0);
}

}  // namespace
