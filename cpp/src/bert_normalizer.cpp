#include "vecsmith/bert_normalizer.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

// Non-starters that wait for the end of their run, to be put in canonical order.
class CanonicalOrder {
 public:
  bool empty() const { return waiting_.empty(); }
  void add(char32_t c, std::uint8_t combining_class) {
    waiting_.push_back(std::uint32_t{combining_class} << 24 | c);
  }

  template <typename Emit>
  void flush(Emit emit) {
    std::ranges::stable_sort(waiting_, {}, [](std::uint32_t mark) { return mark >> 24; });
    for (const std::uint32_t mark : waiting_) emit(char32_t{mark & 0xFFFFFFU});
    waiting_.clear();
  }

 private:
  std::vector<std::uint32_t> waiting_;  // class in the top byte, code point below
};

constexpr bool is_ascii_upper(char32_t c) { return c >= U'A' && c <= U'Z'; }

}  // namespace

void BertNormalizer::append(std::string_view text, std::string& out) const {
  const normalizers::Bert s = settings_;
  CanonicalOrder marks;

  const auto emit = [&](char32_t c) {
    if (!s.lowercase) return append_utf8(out, c);
    const Expansion lower = lowercase(c);
    if (lower.empty()) return append_utf8(out, c);
    for (const char32_t l : lower) append_utf8(out, l);
  };
  const auto emit_starter = [&](char32_t c) {
    if (!marks.empty()) marks.flush(emit);
    emit(c);
  };
  const auto strip_and_emit = [&](char32_t c) {
    const CodePoint& known = properties(c);
    if ((known.flags & kNonspacingMark) != 0) {
      // A stripped mark leaves the order of the others alone, unless it is a starter: that one
      // ends the run although nothing of it remains.
      if (known.combining_class == 0 && !marks.empty()) marks.flush(emit);
    } else if (known.combining_class != 0) {
      marks.add(c, known.combining_class);
    } else {
      emit_starter(c);
    }
  };

  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    if (static_cast<unsigned char>(*p) < 0x80) {
      char32_t c = static_cast<unsigned char>(*p++);
      if (s.clean_text) {
        const std::uint8_t bits = flags(c);
        if ((bits & kControl) != 0) continue;
        if ((bits & kCleanSpace) != 0) c = U' ';
      }
      if (s.lowercase && is_ascii_upper(c)) c |= 0x20U;
      if (!marks.empty()) marks.flush(emit);
      out.push_back(static_cast<char>(c));
      continue;
    }
    char32_t c = decode_utf8(p, end);
    const std::uint8_t bits = flags(c);
    if (s.clean_text) {
      if ((bits & kControl) != 0) continue;
      if ((bits & kCleanSpace) != 0) c = U' ';
    }
    const bool spaced = s.handle_chinese_chars && (bits & kCjk) != 0;
    if (spaced) emit_starter(U' ');
    if (!s.strip_accents) {
      emit(c);
    } else if (const Expansion parts = decompose(c); parts.empty()) {
      strip_and_emit(c);
    } else {
      for (const char32_t part : parts) strip_and_emit(part);
    }
    if (spaced) emit_starter(U' ');
  }
  if (!marks.empty()) marks.flush(emit);
}

}  // namespace vecsmith
