// Settings, truncation and texts from the input: the ids are those of the specification, below
// max_id, the same at every level, and the same again when the caches are warm.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "../tests/plain_tokenizer.hpp"
#include "../tests/random_text.hpp"
#include "input.hpp"

namespace {

using namespace vecsmith;

struct Pair {
  Pair(const TokenizerSettings& settings, CpuLevel level)
      : fast(settings, level), plain(settings) {}
  Tokenizer fast;
  testing::PlainTokenizer plain;
};

// Made once: building one costs more than a thousand texts. Sixteen normalizers, two lists of added
// tokens, every level.
const Pair& pair_of(unsigned bits) {
  static std::array<std::unique_ptr<Pair>, 32 * 5> pairs;  // no machine has more levels than five
  const std::span<const CpuLevel> levels = cpu_levels();
  const std::size_t level = (bits >> 5U) % levels.size();
  std::unique_ptr<Pair>& pair = pairs[(bits & 31U) + 32 * level];
  if (!pair) {
    std::vector<AddedToken> added = testing::special_tokens();
    if ((bits & 16U) != 0) {
      added.push_back({.content = "<user>", .id = 5000, .single_word = true, .normalized = false});
      added.push_back({.content = "(L", .id = 5001, .lstrip = true, .normalized = false});
      added.push_back(
          {.content = "(LR)", .id = 5002, .lstrip = true, .rstrip = true, .normalized = false});
    }
    const normalizers::Bert normalizer{(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0,
                                       (bits & 8U) != 0};
    pair = std::make_unique<Pair>(testing::some_settings(normalizer, added), levels[level]);
  }
  return *pair;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const Pair& pair = pair_of(input.byte());
  const unsigned how = input.byte();
  Truncation truncation;
  if ((how & 1U) != 0) truncation = {1 + static_cast<std::size_t>(input.byte()), (how & 2U) != 0};
  // Filler brings the text to the edge of the window; a space keeps it apart.
  const std::string filler(how & 4U ? 1900 + input.byte() : 0, (how & 8U) != 0 ? ' ' : 'a');
  std::vector<std::string> owned;
  while (!input.empty()) owned.push_back(filler + ' ' + std::string(input.text()));
  const std::vector<std::string_view> texts(owned.begin(), owned.end());

  const auto lists = testing::encode_all(pair.fast, texts, truncation);
  fuzz::require(lists.size() == texts.size(), "one list a text");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    fuzz::require(lists[i] == pair.plain.encode(texts[i], truncation), "ids as specified");
    for (const std::uint32_t id : lists[i]) fuzz::require(id <= pair.fast.max_id(), "id in range");
  }
  fuzz::require(testing::encode_all(pair.fast, texts, truncation) == lists, "warm as cold");
  return 0;
}
