// Hand values for the classes of characters. That they equal what tokenizers does is checked by
// tests/core/test_character_classes.py.

#include "check.hpp"
#include "vecsmith/character_classes.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;

TEST_CASE(a_character_has_one_general_category) {
  constexpr std::uint64_t kCategories = kUnassigned * 2 - 1;
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    const std::uint64_t category = traits(c) & kCategories;
    if (category == 0 || (category & (category - 1)) != 0) CHECK_EQ(std::uint32_t{c}, 0U);
  }
}

TEST_CASE(letters_marks_and_numbers_are_told_apart) {
  for (const char32_t c : {U'a', U'Z', U'é', U'я', U'한', U'の', U'中', U'ǅ', U'ʰ', U'ª'}) {
    CHECK(is_any(c, kLetter));
    CHECK(!is_any(c, kNumber | kMark | kSpace));
  }
  CHECK(is_any(U'Z', kUppercaseLetter) && is_any(U'z', kLowercaseLetter));
  CHECK(is_any(U'\u0301', kMark) && !is_any(U'\u0301', kLetter));
  CHECK(is_any(U'\u0E31', kMark));
  for (const char32_t c : {U'0', U'٣', U'½', U'Ⅷ', U'①', U'²'}) CHECK(is_any(c, kNumber));
  CHECK(is_any(U'中', kHan) && !is_any(U'の', kHan) && is_any(U'の', kHiragana));
}

TEST_CASE(ascii_symbols_are_isolated_but_not_punctuation_of_regular_expressions) {
  for (const char32_t c : {U'$', U'+', U'<', U'=', U'>', U'^', U'`', U'|', U'~'}) {
    CHECK(is_any(c, kIsolatedPunctuation) && is_any(c, kSymbol));
    CHECK(!is_any(c, kRegexPunctuation));
  }
  for (const char32_t c : {U'!', U'_', U'-', U'«', U'。'}) {
    CHECK(is_any(c, kIsolatedPunctuation) && is_any(c, kRegexPunctuation));
  }
}

TEST_CASE(spaces_are_white_space_and_not_format_characters) {
  for (const char32_t c : {U' ', U'\t', U'\n', U'\v', U'\f', U'\r', U'\x85', U'\xA0', U'\u3000'}) {
    CHECK(is_any(c, kSpace));
  }
  for (const char32_t c : {U'\0', U'\x1C', U'\u180E', U'\u200B', U'\uFEFF', U'_'}) {
    CHECK(!is_any(c, kSpace));
  }
}

TEST_CASE(what_is_no_code_point_is_unassigned) {
  CHECK_EQ(traits(0xD800), std::uint64_t{kUnassigned});
  CHECK_EQ(traits(0x110000), std::uint64_t{kUnassigned});
  CHECK_EQ(traits(0xFFFFFFFF), std::uint64_t{kUnassigned});
}

}  // namespace
