// The scanner of every level against a walk byte by byte.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels/kernels.hpp"
#include "random_text.hpp"

namespace {

using namespace vecsmith;
using kernels::ByteClasses;
using testing::GuardedBytes;
using testing::Random;

struct Scanned {
  std::string text;
  std::vector<std::uint16_t> starts, ends;
  std::vector<bool> triggers;
  bool any_trigger = false;
};

void set_class(ByteClasses& classes, unsigned byte, std::uint8_t of) {
  classes.of[byte] = of;
  const auto high = static_cast<std::uint8_t>(1U << (byte >> 4U));
  if ((of & kernels::kWordByte) != 0) classes.word_nibbles[byte & 15U] |= high;
  if ((of & kernels::kPunctuationByte) != 0) classes.punctuation_nibbles[byte & 15U] |= high;
  if ((of & kernels::kTriggerByte) != 0) classes.trigger_nibbles[byte & 15U] |= high;
}

ByteClasses random_classes(Random& random) {
  ByteClasses classes{};
  classes.lowercase = random.one_in(2);
  for (unsigned byte = 0; byte < 128; ++byte) {
    static constexpr std::uint8_t kKinds[] = {kernels::kSpaceByte, kernels::kWordByte,
                                              kernels::kWordByte, kernels::kPunctuationByte};
    std::uint8_t of = byte == ' ' ? std::uint8_t{kernels::kSpaceByte} : random.pick(kKinds);
    if (of != kernels::kSpaceByte && random.one_in(8)) of |= kernels::kTriggerByte;
    set_class(classes, byte, of);
  }
  return classes;
}

Scanned walk(std::string text, const ByteClasses& classes) {
  Scanned result;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned of = byte < 128 ? classes.of[byte] : unsigned{kernels::kWordByte};
    const bool is_word = (of & kernels::kWordByte) != 0;
    if (in_word && !is_word) result.ends.push_back(static_cast<std::uint16_t>(i));
    if (is_word && !in_word) result.starts.push_back(static_cast<std::uint16_t>(i));
    if ((of & kernels::kPunctuationByte) != 0) {
      result.starts.push_back(static_cast<std::uint16_t>(i));
      result.ends.push_back(static_cast<std::uint16_t>(i + 1));
    }
    result.triggers.push_back((of & kernels::kTriggerByte) != 0);
    result.any_trigger = result.any_trigger || result.triggers.back();
    in_word = is_word;
    if (classes.lowercase && byte >= 'A' && byte <= 'Z') text[i] = static_cast<char>(byte | 0x20U);
  }
  result.text = std::move(text);
  return result;
}

// Scans with everything the kernel may touch ending where a page begins that it may not.
Scanned scan(const kernels::Kernels& kernels, const std::string& text, const ByteClasses& classes,
             std::size_t offset) {
  const std::size_t n = text.size();
  GuardedBytes bytes(n + kernels::kScanSlack + offset);
  GuardedBytes starts(2 * (n + 64));
  GuardedBytes ends(2 * (n + 64));
  GuardedBytes triggers(8 * (n / 64 + 1));
  std::memset(bytes.data(), 'Z', n + kernels::kScanSlack + offset);
  std::memcpy(bytes.data(), text.data(), n);
  std::memset(triggers.data(), 0xFF, 8 * (n / 64 + 1));
  auto* const at_starts = reinterpret_cast<std::uint16_t*>(starts.data());
  auto* const at_ends = reinterpret_cast<std::uint16_t*>(ends.data());
  auto* const at_triggers = reinterpret_cast<std::uint64_t*>(triggers.data());
  Scanned result;
  const std::size_t count =
      kernels.scan(bytes.data(), n, classes, at_starts, at_ends, at_triggers, &result.any_trigger);
  result.text.assign(reinterpret_cast<const char*>(bytes.data()), n);
  result.starts.assign(at_starts, at_starts + count);
  result.ends.assign(at_ends, at_ends + count);
  for (std::size_t i = 0; i < n; ++i) {
    result.triggers.push_back((at_triggers[i / 64] >> (i % 64) & 1U) != 0);
  }
  return result;
}

TEST_CASE(every_level_scans_as_a_walk_byte_by_byte) {
  for (const CpuLevel level : testing::cpu_levels()) {
    Random random(8);
    for (std::size_t round = 0; round < testing::rounds(2000); ++round) {
      const ByteClasses classes = random_classes(random);
      std::string text;
      const std::size_t n = random.one_in(4) ? 64 * random.below(5) : random.below(400);
      while (text.size() < n)
        text.push_back(static_cast<char>(random.below(random.one_in(3) ? 256 : 128)));
      text.push_back(' ');
      const Scanned found = scan(kernels::kernels_of(level), text, classes, random.below(64));
      const Scanned expected = walk(text, classes);
      CHECK_EQ(found.text, expected.text);
      CHECK_EQ(found.starts, expected.starts);
      CHECK_EQ(found.ends, expected.ends);
      CHECK(found.triggers == expected.triggers);
      CHECK_EQ(found.any_trigger, expected.any_trigger);
    }
  }
}

TEST_CASE(the_longest_text_fits_into_16_bit_offsets) {
  ByteClasses classes{};
  set_class(classes, 'a', kernels::kWordByte);
  set_class(classes, '.', kernels::kPunctuationByte);
  for (const CpuLevel level : testing::cpu_levels()) {
    for (const char filler : {'a', '.', ' ', '\xE9'}) {
      std::string text(kernels::kMaxScan - 1, filler);
      text.push_back(' ');
      const Scanned found = scan(kernels::kernels_of(level), text, classes, 0);
      const Scanned expected = walk(text, classes);
      CHECK(found.starts == expected.starts);
      CHECK(found.ends == expected.ends);
    }
  }
}

}  // namespace
