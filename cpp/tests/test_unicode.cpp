// Hand values for the tables and for UTF-8 walking. That the tables equal what tokenizers does at
// every code point is checked by tests/core/test_unicode.py.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;

std::vector<std::uint32_t> numbers(const Expansion& expansion) {
  return {expansion.begin(), expansion.end()};
}

std::vector<std::uint32_t> decode(std::string_view text) {
  // A copy of exactly the text's size, so that a sanitizer sees a read past its end.
  const std::vector<char> bytes(text.begin(), text.end());
  std::vector<std::uint32_t> code_points;
  const char* p = bytes.data();
  const char* end = p + bytes.size();
  while (p < end) code_points.push_back(decode_utf8(p, end));
  CHECK(p == end);
  return code_points;
}

using Numbers = std::vector<std::uint32_t>;

TEST_CASE(clean_text_deletes_controls_and_format_characters) {
  for (const char32_t c : {U'\0', U'\x01', U'\v', U'\f', U'\x7F', U'\x85', U'\xAD', U'\u180E',
                           U'\u200B', U'\u200D', U'\uFEFF', U'\uFFFD', U'\uE000'})
    CHECK(has_any(c, kControl));
  for (const char32_t c : {U'\t', U'\n', U'\r', U' ', U'a', U'\u0890', U'\u08E2', U'\U000110CD'})
    CHECK(!has_any(c, kControl));
}

TEST_CASE(clean_text_turns_separators_into_spaces) {
  for (const char32_t c :
       {U'\t', U'\n', U'\r', U' ', U'\xA0', U'\u1680', U'\u2028', U'\u2029', U'\u3000'})
    CHECK(has_any(c, kCleanSpace));
  for (const char32_t c : {U'\v', U'\f', U'\x85', U'\u200B', U'a'}) CHECK(!has_any(c, kCleanSpace));
}

TEST_CASE(words_split_at_white_space_that_clean_text_would_delete) {
  for (const char32_t c : {U' ', U'\t', U'\v', U'\f', U'\x85', U'\u3000'}) {
    CHECK(has_any(c, kWhitespace));
    CHECK(has_any(c, kRegexSpace));
  }
  CHECK(!has_any(U'\u200B', kWhitespace | kRegexSpace));
}

TEST_CASE(punctuation_is_all_of_ascii_but_old_elsewhere) {
  for (char32_t c = 0; c < 0x80; ++c) {
    const bool expected = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                          (c >= 123 && c <= 126);
    CHECK_EQ(has_any(c, kPunctuation), expected);
  }
  for (const char32_t c : {U'\u00BF', U'\u2019', U'\u3002', U'\u166D', U'\U000111C9'})
    CHECK(has_any(c, kPunctuation));
  for (const char32_t c : {U'\u20AC', U'\u00A9', U'\u00B0', U'\u00D7', U'\u2E52'})
    CHECK(!has_any(c, kPunctuation));
}

TEST_CASE(chinese_characters_are_eight_ranges) {
  const std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges = {
      {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
      {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  std::size_t n_chinese = 0;
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) n_chinese += has_any(c, kCjk) ? 1U : 0U;
  std::size_t expected = 0;
  for (const auto& [first, last] : ranges) {
    expected += last - first + 1;
    CHECK(has_any(first, kCjk));
    CHECK(has_any(last, kCjk));
  }
  CHECK_EQ(n_chinese, expected);
}

TEST_CASE(word_characters_are_letters_digits_marks_and_underscore) {
  for (const char32_t c : {U'a', U'Z', U'0', U'_', U'\u00E9', U'\u0301', U'\u4E00', U'\u200D'})
    CHECK(has_any(c, kWord));
  for (const char32_t c : {U' ', U'-', U'[', U'\u20AC', U'\u3000'}) CHECK(!has_any(c, kWord));
}

TEST_CASE(combining_classes_follow_the_library) {
  CHECK_EQ(combining_class(U'a'), 0);
  CHECK_EQ(combining_class(U'\u0334'), 1);
  CHECK_EQ(combining_class(U'\u094D'), 9);
  CHECK_EQ(combining_class(U'\u0327'), 202);
  CHECK_EQ(combining_class(U'\u0323'), 220);
  CHECK_EQ(combining_class(U'\u0301'), 230);
  CHECK_EQ(combining_class(U'\u0345'), 240);
}

TEST_CASE(decomposition_is_complete_and_ordered) {
  CHECK(decompose(U'a').empty());
  CHECK_EQ(numbers(decompose(U'\u00E9')), (Numbers{0x65, 0x301}));
  CHECK_EQ(numbers(decompose(U'\u1EAD')), (Numbers{0x61, 0x323, 0x302}));
  CHECK_EQ(numbers(decompose(U'\u1F82')), (Numbers{0x3B1, 0x313, 0x300, 0x345}));
  CHECK_EQ(numbers(decompose(U'\u212B')), (Numbers{0x41, 0x30A}));
  CHECK_EQ(numbers(decompose(U'\U0002F800')), (Numbers{0x4E3D}));
  CHECK_EQ(numbers(decompose(U'\uAC00')), (Numbers{0x1100, 0x1161}));
  CHECK_EQ(numbers(decompose(U'\uAC01')), (Numbers{0x1100, 0x1161, 0x11A8}));
  CHECK_EQ(numbers(decompose(U'\uD7A3')), (Numbers{0x1112, 0x1175, 0x11C2}));
  CHECK(decompose(U'\uD7A4').empty());
  CHECK(decompose(U'\uFB01').empty());  // a ligature: compatibility only
}

TEST_CASE(nothing_decomposes_further_and_marks_carry_no_decomposition) {
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    const Expansion expansion = decompose(c);
    for (const char32_t part : expansion) CHECK(decompose(part).empty());
    if (!expansion.empty()) {
      CHECK_EQ(combining_class(c), 0);
      CHECK(!has_any(c, kNonspacingMark));
    }
    CHECK(!(has_any(c, kControl) && has_any(c, kCleanSpace)));
  }
}

TEST_CASE(lower_case_needs_no_context) {
  CHECK_EQ(numbers(lowercase(U'A')), (Numbers{0x61}));
  CHECK_EQ(numbers(lowercase(U'\u03A3')), (Numbers{0x3C3}));
  CHECK_EQ(numbers(lowercase(U'\u0130')), (Numbers{0x69, 0x307}));
  CHECK_EQ(numbers(lowercase(U'\u1E9E')), (Numbers{0xDF}));
  CHECK_EQ(numbers(lowercase(U'\uFF21')), (Numbers{0xFF41}));
  CHECK_EQ(numbers(lowercase(U'\U00010400')), (Numbers{0x10428}));
  CHECK(lowercase(U'a').empty());
  CHECK(lowercase(U'\u00DF').empty());
}

TEST_CASE(values_that_are_no_characters_have_no_properties) {
  for (const std::uint32_t value : {0xD800U, 0xDBFFU, 0xDC00U, 0xDFFFU, 0x110000U, 0xFFFFFFFFU}) {
    const auto c = static_cast<char32_t>(value);
    CHECK_EQ(flags(c), 0);
    CHECK_EQ(combining_class(c), 0);
    CHECK(decompose(c).empty());
    CHECK(lowercase(c).empty());
  }
}

TEST_CASE(code_points_on_equal_pages_have_equal_properties) {
  std::vector<char32_t> first_on_page(kPageCount, kMaxCodePoint + 1);
  for (char32_t c = 0; c <= kMaxCodePoint; c += unicode_detail::kPageSize) {
    CHECK(page(c) < kPageCount);
    char32_t& first = first_on_page[page(c)];
    if (first > kMaxCodePoint) first = c;
    for (char32_t i = 0; i < unicode_detail::kPageSize; ++i)
      CHECK(&properties(c + i) == &properties(first + i));
  }
  for (const char32_t first : first_on_page) CHECK(first <= kMaxCodePoint);
}

TEST_CASE(every_character_survives_encoding_and_decoding) {
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    std::string text;
    append_utf8(text, c);
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    CHECK_EQ(decode(text), (Numbers{surrogate ? kReplacementCharacter : c}));
  }
  std::string beyond;
  append_utf8(beyond, kMaxCodePoint + 1);
  CHECK_EQ(beyond, "\xEF\xBF\xBD");
}

TEST_CASE(ill_formed_bytes_become_one_replacement_for_each_maximal_subpart) {
  constexpr std::uint32_t kBad = kReplacementCharacter;
  // The Unicode standard, tables 3-8, 3-10 and 3-11.
  CHECK_EQ(decode("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
           (Numbers{kBad, kBad, kBad, kBad, kBad, kBad, kBad, kBad, 0x41}));
  CHECK_EQ(decode("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
           (Numbers{kBad, kBad, kBad, kBad, kBad, 0x41, kBad, kBad, 0x42}));
  CHECK_EQ(decode("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), (Numbers{kBad, kBad, kBad, kBad, 0x41}));
}

TEST_CASE(text_that_ends_inside_a_character_gives_one_replacement) {
  constexpr std::uint32_t kBad = kReplacementCharacter;
  for (const std::string_view cut :
       {"\xC3", "\xE4", "\xE4\xB8", "\xF0", "\xF0\x9F", "\xF0\x9F\x98"})
    CHECK_EQ(decode(cut), (Numbers{kBad}));
  CHECK_EQ(decode("\xED\xA0"), (Numbers{kBad, kBad}));
}

TEST_CASE(an_encoded_surrogate_counts_as_one_character) {
  constexpr std::uint32_t kBad = kReplacementCharacter;
  CHECK_EQ(decode("\xED\xA0\x80"), (Numbers{kBad}));
  CHECK_EQ(decode("a\xED\xBF\xBFz"), (Numbers{0x61, kBad, 0x7A}));
  CHECK_EQ(decode("\xED\xA0\xBD\xED\xB8\x80"), (Numbers{kBad, kBad}));
  CHECK_EQ(decode("\xED\x9F\xBF"), (Numbers{0xD7FF}));
}

}  // namespace
