// Any bytes under any chain of steps: the output is well formed, equals the steps taken one after
// another, and normal forms do not change what is in their form already.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "input.hpp"
#include "vecsmith/normalizer.hpp"
#include "vecsmith/unicode.hpp"

namespace {

using namespace vecsmith;
namespace steps = vecsmith::normalizers;

NormalizerStep step_of(fuzz::Input& input) {
  const unsigned kind = input.byte() % 11U;
  switch (kind) {
    case 0:
      return steps::Nfc{};
    case 1:
      return steps::Nfd{};
    case 2:
      return steps::Nfkc{};
    case 3:
      return steps::Nfkd{};
    case 4:
      return steps::Lowercase{};
    case 5:
      return steps::StripAccents{};
    case 6:
      return steps::Nmt{};
    case 7: {
      const unsigned bits = input.byte();
      return steps::Strip{(bits & 1U) != 0, (bits & 2U) != 0};
    }
    case 8:
      return steps::Prepend{"_" + std::string(input.text().substr(0, 8))};
    case 9: {
      std::string pattern = fuzz::well_formed(input.bytes(1 + input.byte() % 3U));
      if (pattern.empty()) pattern = "a";
      return steps::Replace{Pattern(pattern), std::string(input.text().substr(0, 8))};
    }
    default: {
      const unsigned bits = input.byte();
      return steps::Bert{(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0};
    }
  }
}

std::string normalized(const NormalizerSettings& settings, std::string_view text) {
  std::string out;
  Normalizer(settings).append(text, out);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  NormalizerSettings settings;
  for (unsigned n = input.byte() % 5U; n > 0; --n) settings.push_back(step_of(input));
  const std::string_view text = input.bytes(size);

  const std::string out = normalized(settings, text);
  fuzz::require(out == fuzz::well_formed(out), "the output is well-formed UTF-8");

  std::string in_steps = fuzz::well_formed(text);
  for (const NormalizerStep& step : settings) in_steps = normalized({step}, in_steps);
  fuzz::require(out == in_steps, "a chain is its steps one after another");

  for (const NormalizerStep& form :
       {NormalizerStep(steps::Nfc{}), NormalizerStep(steps::Nfd{}), NormalizerStep(steps::Nfkc{}),
        NormalizerStep(steps::Nfkd{})}) {
    const std::string once = normalized({form}, text);
    fuzz::require(once == normalized({form}, once), "a normal form is normal");
  }
  return 0;
}
