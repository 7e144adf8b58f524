// A fuzzer's bytes as numbers, flags and texts; reading past the end gives zeros.

#ifndef VECSMITH_FUZZ_INPUT_HPP_
#define VECSMITH_FUZZ_INPUT_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "vecsmith/unicode.hpp"

namespace vecsmith::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }

  // The next `n` bytes, fewer at the end.
  std::string_view bytes(std::size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  // What comes before the next byte 0xFE, which no UTF-8 holds.
  std::string_view text() {
    const std::string_view taken = bytes(std::min(rest_.find('\xFE'), rest_.size()));
    byte();
    return taken;
  }

 private:
  std::string_view rest_;
};

// `text` with U+FFFD for what is not UTF-8 in it.
inline std::string well_formed(std::string_view text) {
  std::string out;
  const char* p = text.data();
  while (p != text.data() + text.size()) {
    append_utf8(out, decode_utf8(p, text.data() + text.size()));
  }
  return out;
}

// Stops the fuzzer, which then keeps the input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace vecsmith::fuzz

#endif  // VECSMITH_FUZZ_INPUT_HPP_
