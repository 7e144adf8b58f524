#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

/// GPT-2's alphabet: bytes that print stand for themselves, the others for what follows U+00FF.
inline std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    characters[b] = prints ? b : next++;
  }
  return characters;
}

/// The character that a token is, or kMaxCodePoint + 1.
inline char32_t only_character(std::string_view token) {
  const char* p = token.data();
  const char* const end = p + token.size();
  if (p == end) return kMaxCodePoint + 1;
  const char32_t c = decode_utf8(p, end);
  return p == end ? c : kMaxCodePoint + 1;
}

/// How a vocabulary spells the byte of a character without a token.
inline std::string fallback_token(unsigned byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4U], kHex[byte & 15U], '>'};
}

/// Numbers of some code points: pages of 256, shared where nothing is on them.
class CharacterNumbers {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;

  CharacterNumbers() : pages_((kMaxCodePoint >> 8) + 1), numbers_(256, kNone) {}

  std::uint32_t operator[](char32_t c) const {
    return numbers_[pages_[c >> 8] * 256U + (c & 255U)];
  }

  void set(char32_t c, std::uint32_t number) {
    if (pages_[c >> 8] == 0) {
      pages_[c >> 8] = static_cast<std::uint16_t>(numbers_.size() / 256);
      numbers_.resize(numbers_.size() + 256, kNone);
    }
    numbers_[pages_[c >> 8] * 256U + (c & 255U)] = number;
  }

 private:
  std::vector<std::uint16_t> pages_;
  std::vector<std::uint32_t> numbers_;
};

}  // namespace vecsmith
