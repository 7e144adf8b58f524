// Character maps of any bytes, and maps made of any keys: the first are refused or used without
// harm, the second do as the plain rule says.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../tests/made_charsmap.hpp"
#include "input.hpp"
#include "vecsmith/charsmap.hpp"

namespace {

using namespace vecsmith;

std::string mapped(const Charsmap& map, std::string_view text) {
  std::string out;
  map.append(text, out);
  return out;
}

testing::Replacements replacements(fuzz::Input& input) {
  testing::Replacements made;
  for (unsigned n = input.byte() % 16; n-- > 0;) {
    std::string key(input.bytes(input.byte() % 8));
    std::string text(input.bytes(input.byte() % 8));
    std::erase(key, '\0');
    std::erase(text, '\0');
    if (!key.empty()) made[key] = fuzz::well_formed(text);
  }
  return made;
}

void check_made(fuzz::Input& input) {
  const testing::Replacements made = replacements(input);
  const Charsmap map(testing::MadeCharsmap(made).bytes());
  const std::string_view text = input.bytes(SIZE_MAX);
  fuzz::require(mapped(map, text) == testing::mapped_plainly(made, text),
                "a map does as the plain rule says");
}

void check_bytes(fuzz::Input& input) {
  std::string bytes = testing::MadeCharsmap(replacements(input)).bytes();
  for (unsigned n = input.byte() % 8; n-- > 0;) {
    const std::size_t place = input.byte() | std::size_t{input.byte()} << 8U;
    bytes[place % bytes.size()] = static_cast<char>(input.byte());
  }
  const std::string_view text = input.bytes(SIZE_MAX);
  try {
    const Charsmap map(bytes);
    const std::string out = mapped(map, text);
    fuzz::require(out == fuzz::well_formed(out), "the output is well-formed UTF-8");
    fuzz::require(!map.is_unchanged(text) || out == text, "what is unchanged is copied");
    std::string parts;  // a control is a cluster of its own, but for the two of a line end
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\x01') continue;
      map.append(text.substr(begin, i - begin), parts);
      begin = i;
    }
    map.append(text.substr(begin), parts);
    fuzz::require(out == parts, "a control parts what is before it from what is behind");
  } catch (const std::invalid_argument&) {
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  if ((input.byte() & 1U) != 0) {
    check_made(input);
  } else {
    check_bytes(input);
  }
  return 0;
}
