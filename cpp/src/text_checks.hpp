#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

/// Whether `byte` goes on in a character of several bytes.
constexpr bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80;
}

/// Whether all bytes are below 0x80.
inline bool is_ascii(std::string_view text) {
  std::uint64_t seen = 0;
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t bytes;
    std::memcpy(&bytes, text.data() + i, 8);
    seen |= bytes;
  }
  for (; i < text.size(); ++i) seen |= static_cast<unsigned char>(text[i]) & 0x80U;
  return (seen & 0x8080808080808080U) == 0;
}

/// Whether `text` is UTF-8, encoded surrogates refused.
inline bool is_well_formed(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* const here = p;
    if (decode_utf8(p, end) != kReplacementCharacter) continue;
    if (std::string_view(here, p) != "\xEF\xBF\xBD") return false;
  }
  return true;
}

}  // namespace vecsmith
