// Hand values of BertNormalizer, checked against tokenizers 0.23.3 when they were written; the
// Python tests compare every code point and hostile strings with the library itself.

#include <string>
#include <string_view>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/bert_normalizer.hpp"

namespace {

using namespace vecsmith;

constexpr normalizers::Bert kUncased{true, true, true, true};
constexpr normalizers::Bert kCased{true, true, false, false};
constexpr normalizers::Bert kNothing{false, false, false, false};
constexpr normalizers::Bert kOnlyStrip{false, false, true, false};
constexpr normalizers::Bert kOnlyLower{false, false, false, true};

std::string normalized(std::string_view text, normalizers::Bert settings = kUncased) {
  const std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
  std::string out;
  BertNormalizer(settings).append({exact.data(), exact.size()}, out);
  return out;
}

using namespace std::string_view_literals;

TEST_CASE(plain_ascii_is_lower_cased_only) {
  CHECK_EQ(normalized("Hello, World 42!"), "hello, world 42!");
  CHECK_EQ(normalized("Hello", kCased), "Hello");
  CHECK_EQ(normalized(""), "");
}

TEST_CASE(normalized_text_is_appended) {
  std::string out = "kept ";
  BertNormalizer(kUncased).append("A", out);
  CHECK_EQ(out, "kept a");
}

TEST_CASE(control_characters_are_deleted_and_join_what_was_beside_them) {
  CHECK_EQ(normalized("a\0b\x07\x7F\vc\f"sv), "abc");
  CHECK_EQ(normalized("a\xC2\x85\xE2\x80\x8B\xEF\xBB\xBF\xC2\xAD\xEF\xBF\xBDz"), "az");
  CHECK_EQ(normalized("a\0b"sv, kNothing), "a\0b"sv);
}

TEST_CASE(white_space_becomes_spaces_one_for_one) {
  CHECK_EQ(normalized("a\t\n\r b"), "a    b");
  CHECK_EQ(normalized("a\xC2\xA0\xE3\x80\x80\xE2\x80\xA8z"), "a   z");
  CHECK_EQ(normalized("a\tb", kOnlyStrip), "a\tb");
}

TEST_CASE(ideographs_get_spaces_and_kana_do_not) {
  CHECK_EQ(normalized("\xE7\x8C\xAB\xE7\x8A\xAC"), " \xE7\x8C\xAB  \xE7\x8A\xAC ");
  CHECK_EQ(normalized("\xE3\x81\xAD\xE3\x81\x93"), "\xE3\x81\xAD\xE3\x81\x93");
  CHECK_EQ(normalized("\xE7\x8C\xAB", kNothing), "\xE7\x8C\xAB");
  // U+F900 is an ideograph before it is decomposed to U+8C48; U+30000 is none.
  CHECK_EQ(normalized("\xEF\xA4\x80"), " \xE8\xB1\x88 ");
  CHECK_EQ(normalized("\xF0\xB0\x80\x80"), "\xF0\xB0\x80\x80");
}

TEST_CASE(accents_are_stripped_whether_composed_or_not) {
  CHECK_EQ(normalized("\xC3\x89t\xC3\xA9"), "ete");
  CHECK_EQ(normalized("E\xCC\x81"), "e");
  CHECK_EQ(normalized("\xC3\x89", kCased), "\xC3\x89");
  CHECK_EQ(normalized("\xC3\x89", kOnlyStrip), "E");
  CHECK_EQ(normalized("\xC3\x89", kOnlyLower), "\xC3\xA9");
}

TEST_CASE(hangul_syllables_become_jamo) {
  CHECK_EQ(normalized("\xED\x95\x9C"), "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB");  // han
  CHECK_EQ(normalized("\xEA\xB0\x80"), "\xE1\x84\x80\xE1\x85\xA1");              // ga
  CHECK_EQ(normalized("\xED\x95\x9C", kCased), "\xED\x95\x9C");
}

TEST_CASE(lower_case_knows_no_context) {
  CHECK_EQ(normalized("\xC4\xB0", kOnlyLower), "i\xCC\x87");  // dotted I: two characters
  CHECK_EQ(normalized("\xC4\xB0"), "i");
  CHECK_EQ(normalized("\xCE\x91\xCE\xA3", kOnlyLower), "\xCE\xB1\xCF\x83");  // no final sigma
  CHECK_EQ(normalized("\xE1\xBA\x9E", kOnlyLower), "\xC3\x9F");
  CHECK_EQ(normalized("\xEF\xAC\x81", kOnlyLower), "\xEF\xAC\x81");  // ligatures stay
}

// U+08D4 (class 230) and U+08E3 (class 220 in newer tables) are kept by the old table of marks.
// Which order they end in is a matter of their classes there.
TEST_CASE(kept_marks_are_put_in_canonical_order_and_equal_ones_stay) {
  std::string low, high;
  char32_t low_mark = 0;
  char32_t high_mark = 0;
  for (char32_t c = 0x300; c < 0x20000 && (low_mark == 0 || high_mark == 0); ++c) {
    if (has_any(c, kNonspacingMark | kControl) || !decompose(c).empty()) continue;
    const unsigned level = combining_class(c);
    if (level != 0 && level < 220 && low_mark == 0) low_mark = c;
    if (level == 230 && high_mark == 0) high_mark = c;
  }
  CHECK(low_mark != 0 && high_mark != 0);
  append_utf8(low, low_mark);
  append_utf8(high, high_mark);
  CHECK_EQ(normalized("a" + high + low, kOnlyStrip), "a" + low + high);
  CHECK_EQ(normalized("a" + low + high, kOnlyStrip), "a" + low + high);
  CHECK_EQ(normalized("a" + high + high + low + low, kOnlyStrip), "a" + low + low + high + high);
  CHECK_EQ(normalized("a" + high + "b" + low, kOnlyStrip), "a" + high + "b" + low);
  // A stripped mark that is no starter lies between them as if it were not there ...
  CHECK_EQ(normalized("a" + high + "\xCC\x81" + low, kOnlyStrip), "a" + low + high);
  // ... and so does a deleted control character: deletion comes first and makes them neighbours.
  CHECK_EQ(normalized("a" + high + "\xE2\x80\x8B" + low), "a" + low + high);
  CHECK_EQ(normalized("a" + high + std::string(1, '\0') + low), "a" + low + high);
  // Without clean_text the control character stays, and is a starter.
  CHECK_EQ(normalized("a" + high + "\x01" + low, kOnlyStrip), "a" + high + "\x01" + low);
  // Nothing is reordered where accents stay.
  CHECK_EQ(normalized("a" + high + low, kCased), "a" + high + low);
}

TEST_CASE(a_stripped_starter_ends_a_run_of_marks_although_it_leaves_nothing) {
  char32_t barrier = 0;
  char32_t low_mark = 0;
  char32_t high_mark = 0;
  for (char32_t c = 0x300; c < 0x20000; ++c) {
    if (!decompose(c).empty() || has_any(c, kControl)) continue;
    const unsigned level = combining_class(c);
    if (has_any(c, kNonspacingMark)) {
      if (level == 0 && barrier == 0) barrier = c;
    } else if (level != 0) {
      if (level < 220 && low_mark == 0) low_mark = c;
      if (level == 230 && high_mark == 0) high_mark = c;
    }
  }
  CHECK(barrier != 0);
  std::string text = "a";
  std::string expected = "a";
  for (const char32_t c : {high_mark, barrier, low_mark}) append_utf8(text, c);
  for (const char32_t c : {high_mark, low_mark}) append_utf8(expected, c);
  CHECK_EQ(normalized(text, kOnlyStrip), expected);
}

TEST_CASE(a_run_of_a_hundred_thousand_marks_is_sorted_in_no_time) {
  std::string text = "a";
  for (std::size_t i = 0; i < 100'000; ++i) append_utf8(text, i % 2 == 0 ? 0x8D4 : 0x1DFA);
  CHECK_EQ(normalized(text, kOnlyStrip).size(), text.size());
}

TEST_CASE(ill_formed_bytes_count_as_the_replacement_character) {
  const std::string_view replacement = "\xEF\xBF\xBD";
  for (const std::string_view bytes :
       {"\x80"sv, "\xC3"sv, "\xE4\xB8"sv, "\xED\xA0\x80"sv, "\xF0\x9F\x98"sv, "\xFF"sv, "\xED"sv}) {
    CHECK_EQ(normalized(bytes, kNothing), replacement);
    CHECK_EQ(normalized(bytes), "");  // and clean_text deletes it
    CHECK_EQ(normalized(std::string("a").append(bytes).append("b")), "ab");
  }
}

TEST_CASE(normalized_text_is_well_formed_and_settles) {
  testing::Random random(7);
  for (std::size_t i = 0; i < testing::rounds(20'000); ++i) {
    const std::string text = random.text(1 + random.below(12));
    const std::string once = normalized(text);
    std::string again;
    for (const char32_t c : testing::code_points_of(once)) append_utf8(again, c);
    CHECK_EQ(once, again);
    for (const char32_t c : testing::code_points_of(once)) {
      CHECK(!has_any(c, kControl | kNonspacingMark));
      CHECK(decompose(c).empty());
    }
  }
}

}  // namespace
