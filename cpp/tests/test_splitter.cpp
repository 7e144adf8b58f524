// Hand values for splitters. That they cut as tokenizers does is checked by
// tests/parity/test_splitters.py.

#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "vecsmith/splitter.hpp"

namespace {

using namespace vecsmith;
using splitters::Behavior;
using Pieces = std::vector<std::string>;
using Prepend = splitters::Metaspace::Prepend;

Pieces pieces(const SplitterSettings& settings, std::string_view text, bool at_start = true) {
  Words words;
  words.bytes = "left over";
  words.ends = {4, 9};
  Splitter(settings).split(text, at_start, words);
  Pieces found;
  for (std::size_t i = 0; i < words.size(); ++i) found.emplace_back(words[i]);
  return found;
}

Pieces cut_at_dashes(Behavior behavior, bool invert = false) {
  return pieces({splitters::Split{Pattern("-"), behavior, invert}}, "the-final--countdown-");
}

TEST_CASE(no_steps_leave_one_word_or_none) {
  CHECK_EQ(pieces({}, "a b"), Pieces({"a b"}));
  CHECK_EQ(pieces({}, ""), Pieces{});
  CHECK_EQ(pieces({splitters::Metaspace{}}, ""), Pieces{});
}

TEST_CASE(a_delimiter_becomes_what_its_behavior_says) {
  CHECK_EQ(cut_at_dashes(Behavior::kRemoved), Pieces({"the", "final", "countdown"}));
  CHECK_EQ(cut_at_dashes(Behavior::kIsolated),
           Pieces({"the", "-", "final", "-", "-", "countdown", "-"}));
  CHECK_EQ(cut_at_dashes(Behavior::kMergedWithPrevious),
           Pieces({"the-", "final-", "-", "countdown-"}));
  CHECK_EQ(cut_at_dashes(Behavior::kMergedWithNext),
           Pieces({"the", "-final", "-", "-countdown", "-"}));
  CHECK_EQ(cut_at_dashes(Behavior::kContiguous),
           Pieces({"the", "-", "final", "--", "countdown", "-"}));
  CHECK_EQ(cut_at_dashes(Behavior::kRemoved, true), Pieces({"-", "-", "-", "-"}));
}

TEST_CASE(digits_split_off_one_by_one_or_together) {
  CHECK_EQ(pieces({splitters::Digits{true}}, "a12b"), Pieces({"a", "1", "2", "b"}));
  CHECK_EQ(pieces({splitters::Digits{false}}, "a12b"), Pieces({"a", "12", "b"}));
}

TEST_CASE(white_space_goes_and_other_characters_part) {
  CHECK_EQ(pieces({splitters::WhitespaceSplit{}},
                  " a,b \xE3\x80\x80"
                  "c\n"),
           Pieces({"a,b", "c"}));
  CHECK_EQ(pieces({splitters::Whitespace{}}, "a_1, !b"), Pieces({"a_1", ",", "!", "b"}));
  CHECK_EQ(pieces({splitters::Bert{}}, "a,!b c"), Pieces({"a", ",", "!", "b", "c"}));
  CHECK_EQ(pieces({splitters::Delimiter{U'\u3001'}},
                  "a\xE3\x80\x81\xE3\x80\x81"
                  "b"),
           Pieces({"a", "b"}));
  CHECK_EQ(pieces({splitters::Punctuation{Behavior::kContiguous}}, "a?!"), Pieces({"a", "?!"}));
}

TEST_CASE(byte_level_words_are_the_bytes_of_the_text) {
  const splitters::ByteLevel byte_level{.add_prefix_space = false};
  CHECK_EQ(pieces({byte_level}, "I'm 12  \xC3\xA9!"),
           Pieces({"I", "'m", " 12", " ", " \xC3\xA9", "!"}));
  CHECK_EQ(pieces({splitters::ByteLevel{}}, "a b"), Pieces({" a", " b"}));
  CHECK_EQ(pieces({splitters::ByteLevel{}}, " a"), Pieces({" a"}));
  CHECK_EQ(pieces({splitters::Digits{true}, splitters::ByteLevel{true, false}}, "a1"),
           Pieces({" a", " 1"}));
}

TEST_CASE(metaspace_prepends_to_all_or_to_the_first_or_to_none) {
  const auto metaspace = [](Prepend prepend) {
    return SplitterSettings{splitters::WhitespaceSplit{}, splitters::Metaspace{U'_', prepend}};
  };
  CHECK_EQ(pieces(metaspace(Prepend::kAlways), "a b"), Pieces({"_a", "_b"}));
  CHECK_EQ(pieces(metaspace(Prepend::kFirst), "a b"), Pieces({"_a", "b"}));
  CHECK_EQ(pieces(metaspace(Prepend::kFirst), "a b", false), Pieces({"a", "b"}));
  CHECK_EQ(pieces(metaspace(Prepend::kFirst), " a b"), Pieces({"a", "b"}));
  CHECK_EQ(pieces(metaspace(Prepend::kNever), "a b"), Pieces({"a", "b"}));
  CHECK_EQ(pieces({splitters::Metaspace{U'_'}}, "a  b_c "), Pieces({"_a", "_", "_b", "_c", "_"}));
  CHECK_EQ(pieces({splitters::Metaspace{U'\u2581', Prepend::kAlways, false}}, " a b"),
           Pieces({"\xE2\x96\x81"
                   "a\xE2\x96\x81"
                   "b"}));
  CHECK_EQ(pieces({splitters::Metaspace{U'_'}, splitters::Digits{true}}, "a 1"),
           Pieces({"_a", "_", "1"}));
}

TEST_CASE(each_step_sees_the_pieces_of_the_one_before) {
  const auto regex = [](std::string_view text) {
    return splitters::Split{*Pattern::of_regex(text), Behavior::kIsolated, false};
  };
  // The end of a piece is the end of what a look ahead sees.
  CHECK_EQ(pieces({regex("\\d"), regex("\\s+(?!\\S)|\\s+")}, "a  1"), Pieces({"a", "  ", "1"}));
}

TEST_CASE(steps_that_cannot_be_are_refused) {
  using splitters::Metaspace;
  const auto refused = [](const SplitterSettings& settings) {
    CHECK_THROWS(Splitter(settings), std::invalid_argument);
  };
  refused({splitters::ByteLevel{}, splitters::Digits{}});
  refused({Metaspace{}, Metaspace{U'_', Prepend::kFirst}});
  refused({Metaspace{char32_t{0xD800}}});
  refused({splitters::Delimiter{char32_t{0x110000}}});
  refused(SplitterSettings(33, splitters::Digits{}));
}

TEST_CASE(words_of_ill_formed_bytes_are_those_bytes) {
  CHECK_EQ(pieces({splitters::WhitespaceSplit{}}, "\xFF\x80 \xE4\xB8"),
           Pieces({"\xFF\x80", "\xE4\xB8"}));
  CHECK_EQ(pieces({splitters::ByteLevel{false}},
                  "\xFF"
                  "a"),
           Pieces({"\xFF", "a"}));
}

}  // namespace
