// The normal forms against a specification that knows no shortcuts, and hand values checked against
// tokenizers 0.23.3 when they were written; tests/parity/test_normalizers.py asks the library
// itself.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "code_point_sets.hpp"
#include "normal_forms.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;
using namespace std::string_view_literals;

constexpr NormalForm kForms[] = {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc,
                                 NormalForm::kNfkd};
constexpr CodePointSet kSets[] = {CodePointSet::kNfc, CodePointSet::kNfd, CodePointSet::kNfkc,
                                  CodePointSet::kNfkd};

std::string normal(NormalForm form, std::string_view text) {
  const std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
  std::string out;
  append_normal_form(form, {exact.data(), exact.size()}, out);
  return out;
}

std::string in_utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

// --- The specification: all of the text at once, the Unicode standard's sections 3.11 and 3.12
// -----

std::u32string decomposed(NormalForm form, std::string_view text) {
  std::u32string parts;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  for (const char32_t c : testing::code_points_of(text)) {
    const Expansion canonical = decompose(c);
    if (const auto found = decompose_compatibly(c); compatible && !found.empty()) {
      parts += found;
    } else if (canonical.empty()) {
      parts += c;
    } else {
      parts += canonical.view();
    }
  }
  for (auto run = parts.begin(); run != parts.end();) {
    if (combining_class(*run) == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, parts.end(), [](char32_t c) { return !combining_class(c); });
    std::stable_sort(
        run, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    run = end;
  }
  return parts;
}

std::u32string composed(const std::u32string& parts) {
  std::u32string out;
  std::size_t starter = std::u32string::npos;
  for (const char32_t c : parts) {
    if (starter != std::u32string::npos) {
      const bool beside = starter + 1 == out.size();
      const bool blocked = !beside && combining_class(out.back()) >= combining_class(c);
      const auto composite = blocked ? std::nullopt : compose(out[starter], c);
      if (composite) {
        out[starter] = *composite;
        continue;
      }
    }
    if (combining_class(c) == 0) starter = out.size();
    out += c;
  }
  return out;
}

std::string specified(NormalForm form, std::string_view text) {
  const std::u32string parts = decomposed(form, text);
  const bool composes = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  return in_utf8(composes ? composed(parts) : parts);
}

// Texts of characters that move, compose, decompose or do nothing.
std::string restless_text(testing::Random& random, const std::vector<char32_t>& restless) {
  std::string text;
  const std::size_t n = 1 + random.below(12);
  for (std::size_t i = 0; i < n; ++i) {
    switch (random.below(8)) {
      case 0:
        append_utf8(text, static_cast<char32_t>(random.below(kMaxCodePoint + 1)));
        break;
      case 1:
        append_utf8(text, static_cast<char32_t>(0xAC00 + random.below(11172)));
        break;
      case 2:
        append_utf8(text, static_cast<char32_t>(0x1100 + random.below(0x100)));
        break;
      case 3:
        text.push_back(static_cast<char>(random.below(0x80)));
        break;
      case 4:
        text.push_back(static_cast<char>(random.below(0x100)));
        break;
      default:
        append_utf8(text, random.pick(restless));
        break;
    }
  }
  return text;
}

std::vector<char32_t> members(CodePointSet set) {
  std::vector<char32_t> found;
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (contains(set, c)) found.push_back(c);
  }
  return found;
}

// --- Normal forms -------------------------------------------------------------------------------

TEST_CASE(every_normal_form_equals_its_specification) {
  testing::Random random(11);
  for (std::size_t form = 0; form < std::size(kForms); ++form) {
    const std::vector<char32_t> restless = members(kSets[form]);
    for (std::size_t i = 0; i < testing::rounds(40'000); ++i) {
      const std::string text = restless_text(random, restless);
      CHECK_EQ(normal(kForms[form], text), specified(kForms[form], text));
    }
  }
}

TEST_CASE(every_code_point_beside_a_letter_and_a_mark_equals_the_specification) {
  for (const NormalForm form : kForms) {
    for (char32_t c = 0; c <= kMaxCodePoint; c += c < 0x30000 ? 1 : 61) {
      const std::string text = in_utf8(std::u32string{U'e', c, U'\u0323', U'\u0301'});
      CHECK_EQ(normal(form, text), specified(form, text));
    }
  }
}

TEST_CASE(marks_and_letters_compose_in_canonical_order) {
  CHECK_EQ(normal(NormalForm::kNfc, "e\xCC\x81"), "\xC3\xA9");
  CHECK_EQ(normal(NormalForm::kNfc, "a\xCC\x82\xCC\xA3"), "\xE1\xBA\xAD");  // dot below goes first
  CHECK_EQ(normal(NormalForm::kNfc, "\xC3\xA9\xCC\xA3"), "\xE1\xBA\xB9\xCC\x81");
  CHECK_EQ(normal(NormalForm::kNfd, "\xE1\xBA\xAD"), "a\xCC\xA3\xCC\x82");
  CHECK_EQ(normal(NormalForm::kNfc, "\xE2\x84\xAB"), "\xC3\x85");  // the sign of the angstrom
  // U+0958 and U+2ADC are never composed.
  CHECK_EQ(normal(NormalForm::kNfc, "\xE0\xA5\x98"), "\xE0\xA4\x95\xE0\xA4\xBC");
  CHECK_EQ(normal(NormalForm::kNfc, "\xE2\xAB\x9D\xCC\xB8"), "\xE2\xAB\x9D\xCC\xB8");
  // A mark of the same class blocks the one behind it.
  CHECK_EQ(normal(NormalForm::kNfc, "a\xCC\x95\xCC\x80"), "\xC3\xA0\xCC\x95");
  CHECK_EQ(normal(NormalForm::kNfc, "a\xCD\x9D\xCC\x80"), "\xC3\xA0\xCD\x9D");
  CHECK_EQ(normal(NormalForm::kNfc, "a\xCD\x83\xCC\x88\xCC\x84"), "a\xCC\x93\xCC\x88\xCC\x84");
}

TEST_CASE(the_tables_are_as_old_as_the_library) {
  // U+11938 came with Unicode 13; the library neither takes it apart nor composes it.
  CHECK_EQ(normal(NormalForm::kNfd, "\xF0\x91\xA4\xB8"), "\xF0\x91\xA4\xB8");
  CHECK_EQ(normal(NormalForm::kNfc, "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0"),
           "\xF0\x91\xA4\xB5\xF0\x91\xA4\xB0");
}

TEST_CASE(hangul_is_taken_apart_and_put_together) {
  const std::string_view jamo = "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB";
  CHECK_EQ(normal(NormalForm::kNfd, "\xED\x95\x9C"), jamo);
  CHECK_EQ(normal(NormalForm::kNfc, jamo), "\xED\x95\x9C");
  CHECK_EQ(normal(NormalForm::kNfc, "\xED\x95\x98\xE1\x86\xAB"), "\xED\x95\x9C");  // ha + n
  CHECK_EQ(normal(NormalForm::kNfc, "\xED\x95\x9C\xE1\x86\xAB"), "\xED\x95\x9C\xE1\x86\xAB");
  CHECK_EQ(normal(NormalForm::kNfc, "\xEA\xB0\x80\xE1\x86\xA7"), "\xEA\xB0\x80\xE1\x86\xA7");
  for (char32_t c = 0xAC00; c < 0xD7A4; ++c) {
    const std::string syllable = in_utf8({&c, 1});
    CHECK_EQ(normal(NormalForm::kNfc, normal(NormalForm::kNfd, syllable)), syllable);
  }
}

TEST_CASE(compatible_forms_write_letters_for_their_look_alikes) {
  CHECK_EQ(normal(NormalForm::kNfkc, "\xEF\xBC\xA1\xEF\xBC\x91"), "A1");  // full width
  CHECK_EQ(normal(NormalForm::kNfkc, "\xEF\xAC\x83"), "ffi");
  CHECK_EQ(normal(NormalForm::kNfkc, "\xE2\x91\xA0\xC2\xBD"),
           "11\xE2\x81\x84"
           "2");
  CHECK_EQ(normal(NormalForm::kNfkc, "\xEF\xBD\xB6\xEF\xBE\x9E"), "\xE3\x82\xAC");  // ka + voiced
  CHECK_EQ(normal(NormalForm::kNfkd, "\xEF\xBD\xB6\xEF\xBE\x9E"), "\xE3\x82\xAB\xE3\x82\x99");
  CHECK_EQ(normal(NormalForm::kNfkc, "\xC2\xA0"), " ");
  CHECK_EQ(normal(NormalForm::kNfc, "\xEF\xBC\xA1"), "\xEF\xBC\xA1");
  std::size_t longest = 0;
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    longest = std::max(longest, decompose_compatibly(c).size());
  }
  CHECK_EQ(longest, 18);  // U+FDFA
}

TEST_CASE(a_normal_text_stays_normal) {
  testing::Random random(12);
  for (std::size_t i = 0; i < testing::rounds(20'000); ++i) {
    const std::string text = random.text(1 + random.below(12));
    for (const NormalForm form : kForms) {
      const std::string once = normal(form, text);
      CHECK_EQ(normal(form, once), once);
    }
  }
}

TEST_CASE(a_long_run_of_marks_is_ordered_in_no_time) {
  std::string text = "a";
  for (std::size_t i = 0; i < 200'000; ++i) append_utf8(text, i % 2 == 0 ? 0x301 : 0x323);
  for (const NormalForm form : kForms) CHECK_EQ(normal(form, text), specified(form, text));
  std::string jamo;
  for (std::size_t i = 0; i < 100'000; ++i) append_utf8(jamo, i % 2 == 0 ? 0x1161 : 0x11A8);
  CHECK_EQ(normal(NormalForm::kNfc, jamo), jamo);
}

TEST_CASE(ill_formed_bytes_become_replacement_characters_in_every_form) {
  for (const NormalForm form : kForms) {
    CHECK_EQ(normal(form, "\x80"), "\xEF\xBF\xBD");
    CHECK_EQ(normal(form, "a\xED\xA0\x80z"), "a\xEF\xBF\xBDz");
    CHECK_EQ(normal(form, "e\xF0\x9F\x98"), "e\xEF\xBF\xBD");
    CHECK_EQ(normal(form, "\xC3\xCC\x81"sv), specified(form, "\xC3\xCC\x81"sv));
  }
  CHECK_EQ(normal(NormalForm::kNfc, "e\0\xCC\x81"sv), "e\0\xCC\x81"sv);
}

TEST_CASE(what_comes_behind_the_normal_prefix_normalizes_alone) {
  testing::Random random(13);
  for (std::size_t form = 0; form < std::size(kForms); ++form) {
    const std::vector<char32_t> restless = members(kSets[form]);
    for (std::size_t i = 0; i < testing::rounds(10'000); ++i) {
      const std::string text = specified(NormalForm::kNfd, restless_text(random, restless));
      const std::size_t n = normal_prefix(kForms[form], text);
      CHECK(n <= text.size());
      CHECK_EQ(text.substr(0, n) + normal(kForms[form], text.substr(n)),
               normal(kForms[form], text));
    }
  }
}

// --- Sets ---------------------------------------------------------------------------------------

TEST_CASE(the_first_member_is_where_one_by_one_finds_it) {
  testing::Random random(14);
  for (std::size_t i = 0; i < testing::rounds(40'000); ++i) {
    const auto set = static_cast<CodePointSet>(random.below(8));
    std::string text = random.sentence(random.below(6));
    if (!random.one_in(4)) text += random.text(random.below(6));
    if (random.one_in(4)) text.push_back(static_cast<char>(random.below(256)));
    const std::vector<char> exact(text.begin(), text.end());
    const char* const end = exact.data() + exact.size();
    const char* expected = exact.data();
    for (const char* p = expected; p != end; expected = p) {
      const char32_t c = decode_utf8(p, end);
      std::string again;
      append_utf8(again, c);
      if (contains(set, c) || again != std::string_view(expected, p)) break;
    }
    CHECK(find_member(set, exact.data(), end) == expected);
  }
}

TEST_CASE(the_sets_know_every_character_that_is_no_starter) {
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (combining_class(c) == 0) continue;
    for (const CodePointSet set : kSets) CHECK(contains(set, c));
  }
  CHECK(!contains(CodePointSet::kNfc, kMaxCodePoint + 1));
}

TEST_CASE(only_ill_formed_bytes_end_a_search_for_them) {
  for (const std::string_view bytes :
       {"\x80"sv, "\xC3"sv, "\xC1\x81"sv, "\xE0\x80\x80"sv, "\xE4\xB8"sv, "\xED\xA0\x80"sv,
        "\xF0\x9F\x98"sv, "\xF0\x80\x80\x80"sv, "\xF4\x90\x80\x80"sv, "\xF8\x88\x80\x80\x80"sv,
        "\xFF"sv}) {
    const std::string text = "a plain beginning \xE7\x8C\xAB" + std::string(bytes);
    CHECK_EQ(find_ill_formed(text.data(), text.data() + text.size()) - text.data(), 21);
  }
  std::string all;
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) append_utf8(all, c);
  CHECK(find_ill_formed(all.data(), all.data() + all.size()) == all.data() + all.size());
}

}  // namespace
