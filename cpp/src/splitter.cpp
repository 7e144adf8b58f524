#include "vecsmith/splitter.hpp"

#include <stdexcept>
#include <utility>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

Splitter::Splitter(SplitterSettings settings) : settings_(std::move(settings)) {
  if (settings_.size() > 1 ||
      (settings_.size() == 1 && !std::holds_alternative<splitters::Bert>(settings_[0]))) {
    throw std::invalid_argument("a pre-tokenizer that is not BertPreTokenizer");
  }
}

void Splitter::split(std::string_view text, bool /*at_start*/, Words& words) const {
  words.clear();
  if (settings_.empty()) {
    if (text.empty()) return;
    words.bytes = text;
    words.ends.push_back(text.size());
    return;
  }
  const auto push = [&](const char* begin, const char* end) {
    if (begin == end) return;
    words.bytes.append(begin, end);
    words.ends.push_back(words.bytes.size());
  };
  const char* p = text.data();
  const char* const end = p + text.size();
  const char* word = p;
  while (p != end) {
    const char* const here = p;
    const std::uint8_t bits = flags(decode_utf8(p, end));
    if ((bits & (kWhitespace | kPunctuation)) == 0) continue;
    push(word, here);
    if ((bits & kWhitespace) == 0) push(here, p);
    word = p;
  }
  push(word, end);
}

}  // namespace vecsmith
