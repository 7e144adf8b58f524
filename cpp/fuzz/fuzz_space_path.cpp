// Texts of tokenizers that cut at spaces, or nowhere, from the input: the ids of the plain path.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../src/plain_path.hpp"
#include "../tests/made_charsmap.hpp"
#include "input.hpp"
#include "vecsmith/tokenizer.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;
using Prepend = splitters::Metaspace::Prepend;

constexpr std::string_view kMark = "\xE2\x96\x81";
constexpr unsigned kKinds = 64;

std::vector<std::string> tokens() {
  std::vector<std::string> all = {"<unk>", "<s>", std::string(kMark)};
  for (const char* const token : {"a", "b", "ab", "\xE5\xAD\x97", "\xCC\x81", ",", ".", "1"}) {
    all.emplace_back(token);
  }
  all.push_back(std::string(kMark) + "a");
  all.push_back(std::string(kMark) + std::string(kMark));
  return all;
}

UnigramSettings unigram() {
  UnigramSettings settings;
  settings.tokens = tokens();
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.scores.push_back(-1.0 - 0.25 * static_cast<double>(i % 3));
  }
  settings.unk_id = 0;
  return settings;
}

BpeSettings bpe() {
  BpeSettings settings;
  settings.tokens = tokens();
  const auto place = [&](std::string_view token) {
    const auto found = std::ranges::find(settings.tokens, token);
    return static_cast<std::uint32_t>(found - settings.tokens.begin());
  };
  const std::string twice = std::string(kMark).append(kMark);
  settings.merges = {{place(kMark), place(kMark), place(twice)},
                     {place("a"), place("b"), place("ab")},
                     {place(kMark), place("a"), place(std::string(kMark) + "a")}};
  for (std::uint32_t i = 0; i < settings.tokens.size(); ++i) settings.ids.push_back(i);
  settings.unk_id = 0;
  settings.fuse_unk = true;
  return settings;
}

// A map to which a space and a mark behind it may be one character.
std::string made_map() {
  return testing::MadeCharsmap({{" ", " "},
                                {"\xC2\xAD", ""},
                                {"\xCC\x81", "b"},
                                {"\xE3\x80\x80", " "},
                                {"\n", " "},
                                {"\t", " "}})
      .bytes();
}

NormalizerSettings normalizer_of(unsigned kind) {
  const normalizers::Replace runs{Pattern::of_regex(" {2,}").value(), " "};
  switch (kind % 8U) {
    case 0:
      return {};
    case 1:
      return {normalizers::Nfkc{}};
    case 2:
      return {normalizers::Nmt{}, normalizers::Nfkc{}, runs};
    case 3:
      return {normalizers::Nfkc{}, normalizers::Strip{false, true}, runs};
    case 4:
      return {normalizers::Nfkd{}, normalizers::StripAccents{}, normalizers::Lowercase{}};
    case 5:
      return {normalizers::Prepend{std::string(kMark)},
              normalizers::Replace{Pattern(" "), std::string(kMark)}};
    case 6:
      return {normalizers::Replace{Pattern(" "), std::string(kMark)}};
    default:
      return {normalizers::Replace{Pattern("1"), ""}, normalizers::Precompiled{made_map()}};
  }
}

TokenizerSettings settings_of(unsigned kind) {
  TokenizerSettings settings;
  settings.normalizer = normalizer_of(kind);
  const bool is_joined = kind % 8U == 5 || kind % 8U == 6;
  const unsigned cut = kind / 8U % 4U;
  if (is_joined || cut == 3) {
    settings.model = bpe();
    if (!is_joined) settings.splitter = {splitters::Metaspace{.split = false}};
  } else {
    settings.model = unigram();
    if (cut == 0) settings.splitter = {splitters::Metaspace{}};
    if (cut == 1) settings.splitter = {splitters::Metaspace{.prepend = Prepend::kNever}};
    if (cut == 2) settings.splitter = {splitters::WhitespaceSplit{}, splitters::Metaspace{}};
  }
  settings.added_tokens.resize(1);
  settings.added_tokens[0].content = "<s>";
  settings.added_tokens[0].id = 1;
  settings.added_tokens[0].normalized = kind / 32U % 2U == 0;
  return settings;
}

struct Paths {
  explicit Paths(unsigned kind) : plain(settings_of(kind)), fast(settings_of(kind)) {}

  PlainPath plain;
  Tokenizer fast;
};

const Paths& paths_of(unsigned kind) {
  static std::unique_ptr<Paths> all[kKinds];
  if (!all[kind]) all[kind] = std::make_unique<Paths>(kind);
  return *all[kind];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const Paths& paths = paths_of(input.byte() % kKinds);
  std::vector<std::string> texts;
  while (!input.empty()) {
    // Long runs come from few bytes.
    const std::size_t times = input.byte() % 8U == 0 ? input.byte() * 40U : 1;
    const std::string_view part = input.text();
    std::string& text = texts.emplace_back();
    for (std::size_t i = 0; i < times && text.size() < 9000; ++i) text += part;
  }
  IdBuffer expected;
  std::vector<std::size_t> expected_ends;
  PlainPath::Scratch scratch;
  for (const std::string& text : texts) {
    paths.plain.append(text, scratch, expected);
    expected_ends.push_back(expected.size());
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  for (int round = 0; round < 2; ++round) {  // words met for the first time, then known ones
    IdBuffer ids;
    std::vector<std::size_t> ends;
    paths.fast.encode(views, {}, ids, ends);
    fuzz::require(ends == expected_ends, "as many ids as on the plain path");
    const auto found = ids.slice(0, ids.size());
    const auto wanted = expected.slice(0, expected.size());
    fuzz::require(std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()),
                  "the ids of the plain path");
  }
  return 0;
}
