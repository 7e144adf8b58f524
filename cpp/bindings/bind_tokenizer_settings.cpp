#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vecsmith/tokenizer.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

namespace normalizers = vecsmith::normalizers;
namespace splitters = vecsmith::splitters;
using Settings = vecsmith::TokenizerSettings;
using Tokens = std::vector<std::string>;
using Ids = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Merges = nb::ndarray<const std::uint32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename Array>
auto vector_of(const Array& array) {
  return std::vector(array.data(), array.data() + array.size());
}

// The value at the place of `name` among `names`.
template <typename Value, std::size_t N>
Value named(const std::array<std::string_view, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Value>(i);
  }
  throw std::invalid_argument("'" + std::string(name) + "', expected a name such as '" +
                              std::string(names[0]) + "'");
}

splitters::Behavior behavior_of(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"removed", "isolated", "merged_with_previous",
                                                      "merged_with_next", "contiguous"};
  return named<splitters::Behavior>(kNames, name);
}

splitters::Metaspace::Prepend prepend_of(std::string_view name) {
  constexpr std::array<std::string_view, 3> kNames = {"always", "first", "never"};
  return named<splitters::Metaspace::Prepend>(kNames, name);
}

vecsmith::Pattern pattern_of(const std::string& text, bool is_regex) {
  if (!is_regex) return vecsmith::Pattern(text);
  const auto known = vecsmith::Pattern::of_regex(text);
  if (!known) {
    throw std::invalid_argument("the engine has no matcher for the regular expression " + text);
  }
  return *known;
}

template <typename Step>
void normalize_plainly(Settings& s) {
  s.normalizer.emplace_back(Step{});
}

void normalize_bert(Settings& s, bool clean_text, bool handle_chinese_chars, bool strip_accents,
                    bool lowercase) {
  s.normalizer.emplace_back(
      normalizers::Bert{clean_text, handle_chinese_chars, strip_accents, lowercase});
}

void normalize_strip(Settings& s, bool left, bool right) {
  s.normalizer.emplace_back(normalizers::Strip{left, right});
}

void normalize_prepend(Settings& s, std::string prefix) {
  s.normalizer.emplace_back(normalizers::Prepend{std::move(prefix)});
}

void normalize_replace(Settings& s, const std::string& pattern, bool is_regex,
                       std::string content) {
  s.normalizer.emplace_back(
      normalizers::Replace{pattern_of(pattern, is_regex), std::move(content)});
}

void normalize_precompiled(Settings& s, const nb::bytes& charsmap) {
  s.normalizer.emplace_back(normalizers::Precompiled{{charsmap.c_str(), charsmap.size()}});
}

template <typename Step>
void split_plainly(Settings& s) {
  s.splitter.emplace_back(Step{});
}

void split_punctuation(Settings& s, const std::string& behavior) {
  s.splitter.emplace_back(splitters::Punctuation{behavior_of(behavior)});
}

void split_digits(Settings& s, bool individual_digits) {
  s.splitter.emplace_back(splitters::Digits{individual_digits});
}

void split_delimiter(Settings& s, std::uint32_t delimiter) {
  s.splitter.emplace_back(splitters::Delimiter{delimiter});
}

void split_pattern(Settings& s, const std::string& pattern, bool is_regex,
                   const std::string& behavior, bool invert) {
  s.splitter.emplace_back(
      splitters::Split{pattern_of(pattern, is_regex), behavior_of(behavior), invert});
}

void split_byte_level(Settings& s, bool add_prefix_space, bool use_regex) {
  s.splitter.emplace_back(splitters::ByteLevel{add_prefix_space, use_regex});
}

void split_metaspace(Settings& s, std::uint32_t replacement, const std::string& prepend,
                     bool split) {
  s.splitter.emplace_back(splitters::Metaspace{replacement, prepend_of(prepend), split});
}

void model_wordpiece(Settings& s, Tokens tokens, const Ids& ids, std::uint32_t unk_id,
                     std::string continuing_subword_prefix, std::size_t max_input_chars_per_word) {
  s.model =
      vecsmith::WordPieceSettings{std::move(tokens), vector_of(ids), unk_id,
                                  std::move(continuing_subword_prefix), max_input_chars_per_word};
}

void model_bpe(Settings& s, Tokens tokens, const Ids& ids, const Merges& merges,
               std::optional<std::uint32_t> unk_id, bool byte_level, bool byte_fallback,
               bool fuse_unk, bool ignore_merges) {
  vecsmith::BpeSettings model{.tokens = std::move(tokens),
                              .ids = vector_of(ids),
                              .merges = {},
                              .unk_id = unk_id,
                              .byte_level = byte_level,
                              .byte_fallback = byte_fallback,
                              .fuse_unk = fuse_unk,
                              .ignore_merges = ignore_merges};
  model.merges.reserve(merges.shape(0));
  for (const std::uint32_t* m = merges.data(); m != merges.data() + merges.size(); m += 3) {
    model.merges.push_back({m[0], m[1], m[2]});
  }
  s.model = std::move(model);
}

void model_unigram(Settings& s, Tokens tokens, const Scores& scores, std::uint32_t unk_id,
                   bool byte_fallback) {
  s.model = vecsmith::UnigramSettings{std::move(tokens), vector_of(scores), unk_id, byte_fallback};
}

void model_word_level(Settings& s, Tokens tokens, const Ids& ids, std::uint32_t unk_id) {
  s.model = vecsmith::WordLevelSettings{std::move(tokens), vector_of(ids), unk_id};
}

void add_token(Settings& s, std::string content, std::uint32_t id, bool single_word, bool lstrip,
               bool rstrip, bool normalized) {
  s.added_tokens.push_back({std::move(content), id, single_word, lstrip, rstrip, normalized});
}

}  // namespace

void bind_tokenizer_settings(nb::module_& m) {
  nb::class_<Settings>(m, "TokenizerSettings", "A tokenizer as plain values, given part by part.")
      .def(nb::init<>())
      .def("normalize_bert", &normalize_bert, "clean_text"_a, "handle_chinese_chars"_a,
           "strip_accents"_a, "lowercase"_a)
      .def("normalize_lowercase", &normalize_plainly<normalizers::Lowercase>)
      .def("normalize_nfc", &normalize_plainly<normalizers::Nfc>)
      .def("normalize_nfd", &normalize_plainly<normalizers::Nfd>)
      .def("normalize_nfkc", &normalize_plainly<normalizers::Nfkc>)
      .def("normalize_nfkd", &normalize_plainly<normalizers::Nfkd>)
      .def("normalize_nmt", &normalize_plainly<normalizers::Nmt>)
      .def("normalize_precompiled", &normalize_precompiled, "charsmap"_a)
      .def("normalize_prepend", &normalize_prepend, "prefix"_a)
      .def("normalize_replace", &normalize_replace, "pattern"_a, "is_regex"_a, "content"_a)
      .def("normalize_strip", &normalize_strip, "left"_a, "right"_a)
      .def("normalize_strip_accents", &normalize_plainly<normalizers::StripAccents>)
      .def("split_bert", &split_plainly<splitters::Bert>)
      .def("split_byte_level", &split_byte_level, "add_prefix_space"_a, "use_regex"_a)
      .def("split_delimiter", &split_delimiter, "delimiter"_a)
      .def("split_digits", &split_digits, "individual_digits"_a)
      .def("split_metaspace", &split_metaspace, "replacement"_a, "prepend"_a, "split"_a)
      .def("split_pattern", &split_pattern, "pattern"_a, "is_regex"_a, "behavior"_a, "invert"_a)
      .def("split_punctuation", &split_punctuation, "behavior"_a)
      .def("split_whitespace", &split_plainly<splitters::Whitespace>)
      .def("split_whitespace_split", &split_plainly<splitters::WhitespaceSplit>)
      .def("model_bpe", &model_bpe, "tokens"_a, "ids"_a.noconvert(), "merges"_a.noconvert(),
           "unk_id"_a.none(), "byte_level"_a, "byte_fallback"_a, "fuse_unk"_a, "ignore_merges"_a)
      .def("model_unigram", &model_unigram, "tokens"_a, "scores"_a.noconvert(), "unk_id"_a,
           "byte_fallback"_a)
      .def("model_word_level", &model_word_level, "tokens"_a, "ids"_a.noconvert(), "unk_id"_a)
      .def("model_wordpiece", &model_wordpiece, "tokens"_a, "ids"_a.noconvert(), "unk_id"_a,
           "continuing_subword_prefix"_a, "max_input_chars_per_word"_a)
      .def("add_token", &add_token, "content"_a, "id"_a, "single_word"_a, "lstrip"_a, "rstrip"_a,
           "normalized"_a);
}
