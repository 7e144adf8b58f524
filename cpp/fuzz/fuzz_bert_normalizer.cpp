// Any bytes under any settings: the output is well formed, holds nothing that was to go, and does
// not depend on where a text is cut at an ASCII letter.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "input.hpp"
#include "vecsmith/bert_normalizer.hpp"
#include "vecsmith/unicode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vecsmith;
  fuzz::Input input(data, size);
  const unsigned bits = input.byte();
  const normalizers::Bert settings{(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0,
                                   (bits & 8U) != 0};
  const BertNormalizer normalizer(settings);
  const std::string_view text = input.bytes(size);
  std::string out;
  normalizer.append(text, out);

  std::string rewritten;
  const char* p = out.data();
  while (p != out.data() + out.size()) {
    const char32_t c = decode_utf8(p, out.data() + out.size());
    append_utf8(rewritten, c);
    if (settings.clean_text) fuzz::require(!has_any(c, kControl), "controls are deleted");
    // lower case may bring a mark back, as in dotted I
    if (settings.strip_accents && !settings.lowercase) {
      fuzz::require(!has_any(c, kNonspacingMark) && decompose(c).empty(), "marks are stripped");
    }
  }
  fuzz::require(out == rewritten, "the output is well-formed UTF-8");

  std::string in_parts;
  std::size_t begin = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] < 'a' || text[i] > 'z') continue;
    normalizer.append(text.substr(begin, i - begin), in_parts);
    begin = i;
  }
  normalizer.append(text.substr(begin), in_parts);
  fuzz::require(out == in_parts, "an ASCII letter parts what is before it from what is behind");
  return 0;
}
