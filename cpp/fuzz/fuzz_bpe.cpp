// Merges and words from the input: the ids are those of a walk over all pairs before every merge,
// and any bytes at all have ids.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "input.hpp"
#include "vecsmith/bpe.hpp"

namespace {

using namespace vecsmith;

constexpr std::size_t kLetters = 4;

BpeSettings settings_of(fuzz::Input& input) {
  BpeSettings settings;
  const unsigned flags = input.byte();
  settings.byte_fallback = (flags & 1U) != 0;
  settings.fuse_unk = (flags & 2U) != 0;
  settings.ignore_merges = (flags & 4U) != 0;
  if ((flags & 8U) != 0) settings.unk_id = input.byte();
  for (std::size_t i = 0; i < kLetters; ++i) {
    settings.tokens.emplace_back(1, static_cast<char>('a' + i));
  }
  for (std::size_t n = input.byte() % 64; n > 0; --n) {
    const auto left = static_cast<std::uint32_t>(input.byte() % settings.tokens.size());
    const auto right = static_cast<std::uint32_t>(input.byte() % settings.tokens.size());
    const std::string merged = settings.tokens[left] + settings.tokens[right];
    if (merged.size() > 40) continue;
    std::uint32_t place = 0;
    while (place < settings.tokens.size() && settings.tokens[place] != merged) ++place;
    if (place == settings.tokens.size()) settings.tokens.push_back(merged);
    settings.merges.push_back({left, right, place});
  }
  if ((flags & 16U) != 0) settings.tokens.emplace_back("<0x78>");
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.ids.push_back(static_cast<std::uint32_t>(i));
  }
  return settings;
}

std::vector<std::uint32_t> plain_ids(const BpeSettings& settings,
                                     std::vector<std::uint32_t> symbols) {
  const auto rank_of = [&](std::size_t i) {
    std::size_t rank = settings.merges.size();  // of two entries the last counts
    while (rank > 0 && (settings.merges[rank - 1].left != symbols[i] ||
                        settings.merges[rank - 1].right != symbols[i + 1])) {
      --rank;
    }
    return rank == 0 ? settings.merges.size() : rank - 1;
  };
  while (true) {
    std::size_t best = settings.merges.size();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (rank_of(i) < best) best = rank_of(at = i);
    }
    if (best == settings.merges.size()) return symbols;
    symbols[at] = settings.merges[best].merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::vector<std::uint32_t> ids_of(const Bpe& model, std::string_view word) {
  IdBuffer ids;
  model.append(word, ids);
  const auto slice = ids.slice(0, ids.size());
  return {slice.begin(), slice.end()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const BpeSettings settings = settings_of(input);
  const Bpe model(settings);
  const std::string_view bytes = input.text();
  std::string word;
  std::vector<std::uint32_t> symbols;
  for (const char byte : bytes.substr(0, 100)) {
    symbols.push_back(static_cast<unsigned char>(byte) % kLetters);
    word.push_back(settings.tokens[symbols.back()].front());
  }
  if (!settings.ignore_merges) {
    fuzz::require(ids_of(model, word) == plain_ids(settings, symbols), "ids of a walk over pairs");
  }
  // Again and again the same, so that it is cut into windows.
  std::string many;
  for (std::size_t n = input.byte() + 1U; n > 0 && many.size() < 20000; --n) many += word;
  for (const std::uint32_t id : ids_of(model, many)) {
    fuzz::require(id <= model.max_id(), "ids up to the largest");
  }
  ids_of(model, bytes);
  return 0;
}
