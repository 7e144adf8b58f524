// Texts of byte-level tokenizers from the input: at every level the ids of the plain path.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../src/plain_path.hpp"
#include "input.hpp"
#include "vecsmith/tokenizer.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;

constexpr std::string_view kLlama =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

BpeSettings every_byte() {
  BpeSettings settings;
  settings.byte_level = true;
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    append_utf8(settings.tokens.emplace_back(), prints ? b : next++);
  }
  for (const auto& [left, right] : {std::pair{'a', 'b'}, {' ', 'a'}, {' ', ' '}, {'1', '2'}}) {
    const auto first = static_cast<std::uint32_t>(left);
    const auto second = static_cast<std::uint32_t>(right);
    settings.merges.push_back({first, second, static_cast<std::uint32_t>(settings.tokens.size())});
    settings.tokens.push_back(settings.tokens[first] + settings.tokens[second]);
  }
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.ids.push_back(static_cast<std::uint32_t>(i));
  }
  return settings;
}

struct Paths {
  explicit Paths(unsigned bits) : plain(settings_of(bits)) {
    for (const CpuLevel level : cpu_levels()) {
      fast.push_back(std::make_unique<Tokenizer>(settings_of(bits), level));
    }
  }

  static TokenizerSettings settings_of(unsigned bits) {
    TokenizerSettings settings;
    settings.model = every_byte();
    settings.added_tokens.resize(1);
    settings.added_tokens[0].content = "<|a|>";
    settings.added_tokens[0].id = 900;
    settings.added_tokens[0].normalized = (bits & 1U) != 0;
    if ((bits & 2U) != 0) settings.normalizer.emplace_back(normalizers::Nfc{});
    if ((bits & 4U) != 0) {
      settings.splitter.emplace_back(splitters::Split{Pattern::of_regex(kLlama).value()});
      settings.splitter.emplace_back(splitters::ByteLevel{false, false});
    } else {
      settings.splitter.emplace_back(splitters::ByteLevel{(bits & 8U) != 0, true});
    }
    return settings;
  }

  PlainPath plain;
  std::vector<std::unique_ptr<Tokenizer>> fast;
};

const Paths& paths_of(unsigned bits) {
  static std::unique_ptr<Paths> all[16];
  if (!all[bits]) all[bits] = std::make_unique<Paths>(bits);
  return *all[bits];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const Paths& paths = paths_of(input.byte() % 16U);
  std::vector<std::string> texts;
  while (!input.empty()) {
    // Long runs come from few bytes.
    const std::size_t times = input.byte() % 4U == 0 ? input.byte() * 40U : 1;
    const std::string_view part = input.text();
    std::string& text = texts.emplace_back();
    for (std::size_t i = 0; i < times && text.size() < 20000; ++i) text += part;
  }
  IdBuffer expected;
  std::vector<std::size_t> expected_ends;
  PlainPath::Scratch scratch;
  for (const std::string& text : texts) {
    paths.plain.append(text, scratch, expected);
    expected_ends.push_back(expected.size());
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  for (const auto& tokenizer : paths.fast) {
    IdBuffer ids;
    std::vector<std::size_t> ends;
    tokenizer->encode(views, {}, ids, ends);
    fuzz::require(ends == expected_ends, "as many ids as on the plain path");
    const auto found = ids.slice(0, ids.size());
    const auto wanted = expected.slice(0, expected.size());
    fuzz::require(std::equal(found.begin(), found.end(), wanted.begin(), wanted.end()),
                  "the ids of the plain path");
  }
  return 0;
}
