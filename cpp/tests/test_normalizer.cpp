// Chains of steps: hand values checked against tokenizers 0.23.3 when they were written, and the
// chain as one step after another. tests/parity/test_normalizers.py asks the library itself.

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/normalizer.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;
using namespace std::string_view_literals;
namespace steps = vecsmith::normalizers;

std::string normalized(std::string_view text, const NormalizerSettings& settings) {
  const std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
  std::string out;
  Normalizer(settings).append({exact.data(), exact.size()}, out);
  return out;
}

steps::Replace replace(std::string pattern, std::string content) {
  return {Pattern(std::move(pattern)), std::move(content)};
}

TEST_CASE(a_normalizer_without_steps_leaves_texts_as_they_are) {
  CHECK_EQ(normalized(" A\xCC\x81\0\t"sv, {}), " A\xCC\x81\0\t"sv);
  CHECK_EQ(normalized("a\xFF\xED\xA0\x80z"sv, {}), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
}

TEST_CASE(what_is_in_the_output_already_stays) {
  const NormalizerSettings settings = {steps::Lowercase{}, steps::Strip{}, steps::Prepend{"_"},
                                       steps::Nfc{}};
  std::string out = " E";
  Normalizer(settings).append("\xCC\x81 A ", out);
  CHECK_EQ(out, " E_\xCC\x81 a");
}

TEST_CASE(lower_case_is_taken_one_character_at_a_time) {
  CHECK_EQ(normalized("HELLO World 42 [@`{", {steps::Lowercase{}}), "hello world 42 [@`{");
  CHECK_EQ(normalized("\xC3\x89T\xC3\x89", {steps::Lowercase{}}), "\xC3\xA9t\xC3\xA9");
  CHECK_EQ(normalized("\xC4\xB0", {steps::Lowercase{}}), "i\xCC\x87");
  CHECK_EQ(normalized("\xCE\x91\xCE\xA3", {steps::Lowercase{}}), "\xCE\xB1\xCF\x83");
  CHECK_EQ(normalized("\xE2\x84\xAA", {steps::Lowercase{}}), "k");  // the sign of the kelvin
}

TEST_CASE(marks_of_all_kinds_are_stripped_but_nothing_is_taken_apart) {
  CHECK_EQ(normalized("e\xCC\x81\xC3\xA9", {steps::StripAccents{}}), "e\xC3\xA9");
  CHECK_EQ(normalized("\xC3\xA9", {steps::Nfd{}, steps::StripAccents{}}), "e");
  CHECK_EQ(normalized("\xE0\xA4\x95\xE0\xA4\xBE", {steps::StripAccents{}}), "\xE0\xA4\x95");
  CHECK_EQ(normalized("\xCC\x81\xCC\x81", {steps::StripAccents{}}), "");
}

TEST_CASE(nmt_deletes_controls_and_makes_spaces) {
  CHECK_EQ(normalized("a\x01\x08\x0B\x0E\x1F\x7F\xC2\x8F\xC2\x9Fz", {steps::Nmt{}}), "az");
  CHECK_EQ(normalized("a\t\n\f\rz", {steps::Nmt{}}), "a    z");
  CHECK_EQ(normalized("a\0z"sv, {steps::Nmt{}}), "a\0z"sv);
  CHECK_EQ(normalized("a\xE2\x80\x8B\xEF\xBB\xBF\xE2\x96\x81z", {steps::Nmt{}}), "a   z");
  CHECK_EQ(normalized("a\xFFz", {steps::Nmt{}}), "a z");  // U+FFFD is one of them
}

TEST_CASE(white_space_is_stripped_from_the_ends_asked_for) {
  const std::string_view text = " \t\xE3\x80\x80 a b\xC2\xA0\xC2\x85 ";
  CHECK_EQ(normalized(text, {steps::Strip{true, true}}), "a b");
  CHECK_EQ(normalized(text, {steps::Strip{true, false}}), "a b\xC2\xA0\xC2\x85 ");
  CHECK_EQ(normalized(text, {steps::Strip{false, true}}), " \t\xE3\x80\x80 a b");
  CHECK_EQ(normalized(text, {steps::Strip{false, false}}), text);
  CHECK_EQ(normalized("  \n", {steps::Strip{}}), "");
  CHECK_EQ(normalized("\xE2\x80\x8B", {steps::Strip{}}), "\xE2\x80\x8B");  // no white space
  CHECK_EQ(normalized(" \x80 ", {steps::Strip{}}), "\xEF\xBF\xBD");
  CHECK_EQ(normalized(" \xE3\x80 ", {steps::Strip{}}), "\xEF\xBF\xBD");
}

TEST_CASE(a_prefix_goes_before_every_text_but_the_empty_one) {
  CHECK_EQ(normalized("ab", {steps::Prepend{"\xE2\x96\x81"}}),
           "\xE2\x96\x81"
           "ab");
  CHECK_EQ(normalized("", {steps::Prepend{"x"}}), "");
  CHECK_EQ(normalized("  ", {steps::Strip{}, steps::Prepend{"x"}}), "");
}

TEST_CASE(matches_are_replaced_from_the_left_and_what_is_written_is_not_read_again) {
  CHECK_EQ(normalized("aaaaa", {replace("aa", "b")}), "bba");
  CHECK_EQ(normalized("aaaaa", {replace("a", "aa")}), "aaaaaaaaaa");
  CHECK_EQ(normalized("a  b", {replace(" ", "\xE2\x96\x81")}),
           "a\xE2\x96\x81\xE2\x96\x81"
           "b");
  CHECK_EQ(normalized("a.b", {replace(".", "")}), "ab");
  CHECK_EQ(normalized("", {replace(".", "x")}), "");
  CHECK_EQ(normalized("a\x80z", {replace("\xEF\xBF\xBD", "!")}), "a!z");
}

TEST_CASE(replacements_read_what_earlier_ones_wrote) {
  CHECK_EQ(normalized("a", {replace("a", "b"), replace("b", "c")}), "c");
  CHECK_EQ(normalized("a", {replace("b", "c"), replace("a", "b")}), "b");
  CHECK_EQ(normalized(".,", {replace(".", " . "), replace(",", " , "), replace(".", "!")}),
           " !  , ");
  CHECK_EQ(normalized("a.b,c", {replace(".", " . "), replace(",", " , "), replace(" ", "")}),
           "a.b,c");
}

TEST_CASE(steps_that_cannot_be_are_refused) {
  CHECK_THROWS(Normalizer({replace("", "x")}), std::invalid_argument);
  CHECK_THROWS(Normalizer({steps::Prepend{""}}), std::invalid_argument);
}

NormalizerStep random_step(testing::Random& random) {
  switch (random.below(12)) {
    case 0:
      return steps::Nfc{};
    case 1:
      return steps::Nfd{};
    case 2:
      return steps::Nfkc{};
    case 3:
      return steps::Nfkd{};
    case 4:
      return steps::Lowercase{};
    case 5:
      return steps::StripAccents{};
    case 6:
      return steps::Nmt{};
    case 7:
      return steps::Strip{random.one_in(2), random.one_in(2)};
    case 8:
      return steps::Prepend{random.one_in(2) ? "_" : "E\xCC\x81"};
    case 9:
      return steps::Bert{random.one_in(2), random.one_in(2), random.one_in(2), random.one_in(2)};
    default: {
      static constexpr std::string_view kFound[] = {" ", ".",        "a",       "the",
                                                    "e", "\xCC\x88", "\xC3\x89"};
      static constexpr std::string_view kWritten[] = {"",         " . ", "aa",  "b",
                                                      "\xCC\x88", ".",   "\xC3"};
      return replace(std::string(random.pick(kFound)), std::string(random.pick(kWritten)));
    }
  }
}

TEST_CASE(a_chain_is_its_steps_one_after_another) {
  testing::Random random(21);
  for (std::size_t i = 0; i < testing::rounds(2'000); ++i) {
    NormalizerSettings chain;
    for (std::size_t n = 1 + random.below(5); n > 0; --n) chain.push_back(random_step(random));
    const Normalizer normalizer(chain);
    for (std::size_t k = 0; k < 8; ++k) {
      const std::string text = random.text(random.below(12));
      std::string expected = text;
      for (const NormalizerStep& step : chain) expected = normalized(expected, {step});
      std::string out;
      normalizer.append(text, out);
      CHECK_EQ(out, expected);
    }
  }
}

TEST_CASE(texts_longer_than_any_buffer_are_normalized_alike) {
  const NormalizerSettings chain = {steps::Nfkc{}, replace("a", "aa"), steps::Lowercase{},
                                    replace("the", "\xC3\x89"), steps::Nfd{}};
  testing::Random random(22);
  for (const std::size_t n_words : {900U, 5'000U}) {
    const std::string text = random.sentence(n_words);
    std::string expected = text;
    for (const NormalizerStep& step : chain) expected = normalized(expected, {step});
    CHECK_EQ(normalized(text, chain), expected);
  }
}

TEST_CASE(every_output_is_well_formed) {
  testing::Random random(23);
  for (std::size_t i = 0; i < testing::rounds(10'000); ++i) {
    std::string text = random.text(random.below(6));
    for (std::size_t k = random.below(4); k > 0; --k) {
      text.insert(random.below(text.size() + 1), 1, static_cast<char>(random.below(256)));
    }
    NormalizerSettings chain;
    for (std::size_t n = random.below(3); n > 0; --n) chain.push_back(random_step(random));
    const std::string out = normalized(text, chain);
    std::string again;
    for (const char32_t c : testing::code_points_of(out)) append_utf8(again, c);
    CHECK_EQ(out, again);
  }
}

}  // namespace
