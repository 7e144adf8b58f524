// Any bytes under any steps and any regular expression: words are those bytes in order, nothing is
// read beyond the text, and no match is empty or out of place.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "input.hpp"
#include "vecsmith/pattern.hpp"
#include "vecsmith/splitter.hpp"

namespace {

using namespace vecsmith;

// Expressions of real tokenizers, besides the fuzzer's own.
constexpr std::string_view kRegexes[] = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t)?|[\p{Lu}\p{M}]+|\p{N}{1,3}|\s++$|\s+)",
    "\\s?[!-/:-~\xEF\xBC\x81-\xEF\xBC\x8F]+",
    R"(\p{S}*.+(?!a))",
    R"(\s*[\r\n]+x)",
};

void check_matches(const Pattern& pattern, std::string_view text) {
  std::size_t last = 0;
  pattern.find_all(text, [&](std::size_t begin, std::size_t end) {
    fuzz::require(begin >= last && begin < end && end <= text.size(), "matches are in order");
    last = end;
  });
}

std::optional<Pattern> some_pattern(fuzz::Input& input) {
  const unsigned choice = input.byte() % 16U;
  if (choice < std::size(kRegexes)) return Pattern::of_regex(kRegexes[choice]);
  const std::string_view text = input.text();
  if (choice % 2U == 0) return Pattern::of_regex(text);
  if (text.empty()) return std::nullopt;
  return Pattern(fuzz::well_formed(text));
}

std::optional<SplitterStep> some_step(fuzz::Input& input) {
  const unsigned bits = input.byte();
  const auto behavior = static_cast<splitters::Behavior>(bits / 8U % 5U);
  const bool flag = (bits & 0x80U) != 0;
  switch (bits % 8U) {
    case 0:
      return splitters::Whitespace{};
    case 1:
      return splitters::WhitespaceSplit{};
    case 2:
      return splitters::Bert{};
    case 3:
      return splitters::Punctuation{behavior};
    case 4:
      return splitters::Digits{flag};
    case 5:
      return splitters::Delimiter{input.byte()};
    default: {
      std::optional<Pattern> pattern = some_pattern(input);
      if (!pattern) return std::nullopt;
      return splitters::Split{*std::move(pattern), behavior, flag};
    }
  }
}

// True when the words are bytes of `text`, one after another, with bytes left out at most.
bool are_in(const Words& words, std::string_view text) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].empty()) return false;
    const std::size_t at = text.find(words[i]);
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at + words[i].size());
  }
  return true;
}

void check_last_steps(SplitterSettings settings, std::string_view text, Words& words) {
  settings.emplace_back(splitters::ByteLevel{.add_prefix_space = false});
  Splitter(settings).split(text, true, words);
  fuzz::require(are_in(words, text), "byte-level words are in the text");

  settings.back() = splitters::Metaspace{.replacement = U' '};
  Splitter(settings).split(text, true, words);
  const auto spaces = std::ranges::count(words.bytes, ' ');
  fuzz::require(static_cast<std::size_t>(spaces) <= words.size() + text.size(),
                "one space at most is put before a piece");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if (const std::optional<Pattern> pattern = some_pattern(input)) {
    check_matches(*pattern, std::string_view(reinterpret_cast<const char*>(data), size));
  }
  SplitterSettings settings;
  for (unsigned n = input.byte() % 4U; n > 0; --n) {
    if (std::optional<SplitterStep> step = some_step(input)) settings.push_back(*std::move(step));
  }
  const std::string_view text = input.bytes(size);
  Words words;
  Splitter(settings).split(text, true, words);
  fuzz::require(are_in(words, text), "words are in the text, in order");
  check_last_steps(std::move(settings), text, words);
  return 0;
}
