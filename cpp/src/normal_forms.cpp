// How text becomes normal, and why so.
//
// Nearly all text is normal already. So the first step is to find a character that may change or
// combine with its neighbours (code_point_sets.hpp); everything before it is copied as it is. From
// there a run is decomposed, put in canonical order and composed, up to the next character that
// does none of this, where the fast search goes on. A form that composes takes the one character
// before the run along: a mark may join it.

#include "normal_forms.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "code_point_sets.hpp"
#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

constexpr std::uint32_t kPageBits = 7;
constexpr std::uint32_t kPageSize = 1U << kPageBits;

struct PageRun {
  std::uint8_t page;
  std::uint16_t count;
};

struct Slice {
  std::uint16_t begin;
  std::uint8_t size;
};

struct Pair {
  char32_t first, second, composite;
};

#include "normal_forms.inc"

constexpr std::array<std::uint8_t, (kMaxCodePoint + 1) / kPageSize> expand_runs() {
  std::array<std::uint8_t, (kMaxCodePoint + 1) / kPageSize> pages{};
  std::size_t i = 0;
  for (const PageRun& run : kCompatiblePageRuns) {
    for (std::size_t k = 0; k < run.count; ++k) pages[i++] = run.page;
  }
  return pages;
}

constexpr auto kCompatiblePageOf = expand_runs();

// --- Composition --------------------------------------------------------------------------------

// The Unicode standard, section 3.12.
constexpr char32_t kFirstSyllable = 0xAC00;
constexpr char32_t kSyllables = 11172;
constexpr char32_t kFirstLeading = 0x1100;
constexpr char32_t kLeadings = 19;
constexpr char32_t kFirstVowel = 0x1161;
constexpr char32_t kVowels = 21;
constexpr char32_t kBeforeFirstTrailing = 0x11A7;
constexpr char32_t kTrailings = 28;  // counting none

// Pairs by hash, in the first free slot behind their own; 0 is a free slot.
constexpr std::size_t kPairSlots = 4096;
using PairSlots = std::array<std::uint16_t, kPairSlots>;

constexpr std::size_t pair_slot(char32_t first, char32_t second) {
  const std::uint32_t mixed = (static_cast<std::uint32_t>(first) * 0x9E3779B1U) ^
                              (static_cast<std::uint32_t>(second) * 0x85EBCA77U);
  return (mixed ^ mixed >> 15) % kPairSlots;
}

constexpr PairSlots place_pairs() {
  PairSlots slots{};
  for (std::size_t i = 0; i < std::size(kPairs); ++i) {
    std::size_t slot = pair_slot(kPairs[i].first, kPairs[i].second);
    while (slots[slot] != 0) slot = (slot + 1) % kPairSlots;
    slots[slot] = static_cast<std::uint16_t>(i + 1);
  }
  return slots;
}

constexpr PairSlots kPairSlot = place_pairs();

// --- Runs ---------------------------------------------------------------------------------------

// Marks that wait for the end of their run, in the order they came: few are kept in place.
class Marks {
 public:
  bool empty() const { return size_ == 0; }

  void add(char32_t c, std::uint8_t combining_class) {
    const std::uint32_t mark = std::uint32_t{combining_class} << 24 | c;
    if (size_ < few_.size()) {
      few_[size_] = mark;
    } else {
      if (size_ == few_.size()) many_.assign(few_.begin(), few_.end());
      many_.push_back(mark);
    }
    ++size_;
  }

  // The marks in canonical order: class in the top byte, code point below.
  std::span<const std::uint32_t> ordered() {
    const auto by_class = [](std::uint32_t mark) { return mark >> 24; };
    if (size_ > few_.size()) {
      std::ranges::stable_sort(many_, {}, by_class);
      return many_;
    }
    for (std::size_t i = 1; i < size_; ++i) {
      const std::uint32_t mark = few_[i];
      std::size_t k = i;
      for (; k > 0 && by_class(few_[k - 1]) > by_class(mark); --k) few_[k] = few_[k - 1];
      few_[k] = mark;
    }
    return {few_.data(), size_};
  }

  void clear() {
    size_ = 0;
    many_.clear();
  }

 private:
  std::array<std::uint32_t, 32> few_;
  std::vector<std::uint32_t> many_;  // all of them, once they are more than few
  std::size_t size_ = 0;
};

constexpr char32_t code_point_of(std::uint32_t mark) { return mark & 0xFFFFFFU; }

// Gathers the bytes of single characters: a string grows dearly by one at a time.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void put(char32_t c) {
    if (used_ + 4 > chunk_.size()) flush();
    const auto value = static_cast<std::uint32_t>(c);
    if (value < 0x80) {
      put_byte(value);
    } else if (value < 0x800) {
      put_byte(0xC0U | value >> 6);
      put_byte(0x80U | (value & 0x3FU));
    } else if (value < 0x10000) {
      put_byte(0xE0U | value >> 12);
      put_byte(0x80U | (value >> 6 & 0x3FU));
      put_byte(0x80U | (value & 0x3FU));
    } else {
      put_byte(0xF0U | value >> 18);
      put_byte(0x80U | (value >> 12 & 0x3FU));
      put_byte(0x80U | (value >> 6 & 0x3FU));
      put_byte(0x80U | (value & 0x3FU));
    }
  }

  void put(const char* begin, const char* end) {
    flush();
    out_.append(begin, end);
  }

  void flush() {
    out_.append(chunk_.data(), used_);
    used_ = 0;
  }

 private:
  void put_byte(std::uint32_t byte) { chunk_[used_++] = static_cast<char>(byte); }

  std::string& out_;
  std::size_t used_ = 0;
  std::array<char, 256> chunk_;
};

// Takes decomposed code points one after another and writes them in canonical order.
class Orderer {
 public:
  explicit Orderer(Writer& out) : out_(out) {}

  void take(char32_t c) {
    const std::uint8_t combining_class = vecsmith::combining_class(c);
    if (combining_class != 0) return marks_.add(c, combining_class);
    take_starter(c);
  }

  void take_starter(char32_t c) {
    finish();
    out_.put(c);
  }

  void finish() {
    if (marks_.empty()) return;
    for (const std::uint32_t mark : marks_.ordered()) out_.put(code_point_of(mark));
    marks_.clear();
  }

 private:
  Writer& out_;
  Marks marks_;
};

// The same, and composes them: a starter waits for what may join it.
class Composer {
 public:
  explicit Composer(Writer& out) : out_(out) {}

  void take(char32_t c) {
    const std::uint8_t combining_class = vecsmith::combining_class(c);
    if (combining_class != 0) return marks_.add(c, combining_class);
    take_starter(c);
  }

  void take_starter(char32_t c) {
    join_marks();
    if (starter_ != kNone && left_.empty()) {
      if (const std::optional<char32_t> composite = compose(starter_, c)) {
        starter_ = *composite;
        return;
      }
    }
    write();
    starter_ = c;
  }

  void finish() {
    join_marks();
    write();
  }

 private:
  static constexpr char32_t kNone = kMaxCodePoint + 1;

  // Composes the marks that waited with their starter. One behind a mark that stayed is blocked
  // unless its class is higher; one that stays lies between the starter and the next.
  void join_marks() {
    if (marks_.empty()) return;
    std::uint32_t last_class = 0;
    for (const std::uint32_t mark : marks_.ordered()) {
      const std::uint32_t mark_class = mark >> 24;
      if (starter_ != kNone && last_class < mark_class) {
        if (const std::optional<char32_t> composite = compose(starter_, code_point_of(mark))) {
          starter_ = *composite;
          continue;
        }
      }
      last_class = mark_class;
      left_.push_back(code_point_of(mark));
    }
    marks_.clear();
  }

  void write() {
    if (starter_ != kNone) out_.put(starter_);
    starter_ = kNone;
    for (const char32_t mark : left_) out_.put(mark);
    left_.clear();
  }

  Writer& out_;
  char32_t starter_ = kNone;
  Marks marks_;
  std::u32string left_;  // marks that the starter did not take
};

bool is_syllable(char32_t c) { return c - kFirstSyllable < kSyllables; }
bool composes(NormalForm form) { return form == NormalForm::kNfc || form == NormalForm::kNfkc; }
bool is_compatible(NormalForm form) {
  return form == NormalForm::kNfkc || form == NormalForm::kNfkd;
}

CodePointSet set_of(NormalForm form) {
  static constexpr CodePointSet kSets[] = {CodePointSet::kNfc, CodePointSet::kNfd,
                                           CodePointSet::kNfkc, CodePointSet::kNfkd};
  return kSets[static_cast<std::size_t>(form)];
}

void take_syllable(char32_t c, Composer& sink) {
  sink.take_starter(c);  // its parts would be composed again
}

void take_syllable(char32_t c, Orderer& sink) {
  const char32_t index = c - kFirstSyllable;
  sink.take_starter(kFirstLeading + index / (kVowels * kTrailings));
  sink.take_starter(kFirstVowel + index / kTrailings % kVowels);
  const char32_t trailing = index % kTrailings;
  if (trailing != 0) sink.take_starter(kBeforeFirstTrailing + trailing);
}

template <typename Sink>
void take_parts(NormalForm form, char32_t c, Sink& sink) {
  if (is_syllable(c)) return take_syllable(c, sink);
  if (is_compatible(form)) {
    const std::u32string_view parts = decompose_compatibly(c);
    if (!parts.empty()) {
      for (const char32_t part : parts) sink.take(part);
      return;
    }
  }
  const Expansion parts = decompose(c);
  if (parts.empty()) return sink.take(c);
  for (const char32_t part : parts) sink.take(part);
}

// Normalises from `p` to the first character behind `at` that begins anew, and returns its place.
template <typename Sink>
const char* take_run(NormalForm form, const char* p, const char* at, const char* end, Sink& sink) {
  const CodePointSet set = set_of(form);
  while (p != end) {
    const char* const begin = p;
    const char32_t c = decode_utf8(p, end);
    if (begin > at && !contains(set, c)) {
      p = begin;
      break;
    }
    take_parts(form, c, sink);
  }
  sink.finish();
  return p;
}

// The class of a mark that stays as it is wherever it is in order, else 0. It takes nothing apart
// and joins nothing: what is composed before it would be composed again, whatever its class.
std::uint8_t quiet_class(NormalForm form, char32_t c) {
  if (composes(form) && !contains(CodePointSet::kQuietMarks, c)) return 0;
  if (is_compatible(form) && !decompose_compatibly(c).empty()) return 0;
  return combining_class(c);
}

// The first place from `p` on that needs a run: members of the set that are marks in order do not.
const char* find_run(NormalForm form, const char* p, const char* end) {
  for (;;) {
    const char* const at = find_member(set_of(form), p, end);
    std::uint8_t last_class = 0;
    for (p = at; p != end;) {
      const char* behind = p;
      const char32_t c = decode_utf8(behind, end);
      if (!contains(set_of(form), c)) break;
      const std::uint8_t mark_class = quiet_class(form, c);
      if (mark_class == 0 || mark_class < last_class) return at;
      last_class = mark_class;
      p = behind;
    }
    if (p == end || p == at) return p;  // nothing is left, or ill-formed bytes are
  }
}

// The beginning of the character before `p`; the text before it is well formed.
const char* previous(const char* p) {
  do --p;
  while (is_continuation(*p));
  return p;
}

// Where what is copied before a run at `at` ends: a mark may join the one character before it.
const char* begin_of_run(NormalForm form, const char* p, const char* at) {
  return composes(form) && at != p ? previous(at) : at;
}

template <typename Sink>
void append_in_runs(NormalForm form, const char* p, const char* at, const char* end,
                    std::string& out) {
  Writer writer(out);
  Sink sink(writer);
  while (at != end) {
    const char* const begin = begin_of_run(form, p, at);
    writer.put(p, begin);
    p = take_run(form, begin, at, end, sink);
    at = find_run(form, p, end);
  }
  writer.put(p, end);
}

}  // namespace

void append_normal_form(NormalForm form, std::string_view text, std::string& out) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* const at = find_run(form, begin, end);
  if (at == end) {
    out += text;
  } else if (composes(form)) {
    append_in_runs<Composer>(form, begin, at, end, out);
  } else {
    append_in_runs<Orderer>(form, begin, at, end, out);
  }
}

std::size_t normal_prefix(NormalForm form, std::string_view text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* const at = find_run(form, begin, end);
  return static_cast<std::size_t>((at == end ? at : begin_of_run(form, begin, at)) - begin);
}

std::u32string_view decompose_compatibly(char32_t c) {
  if (c > kMaxCodePoint) return {};
  const std::size_t page = kCompatiblePageOf[c >> kPageBits];
  const Slice& found =
      kCompatibleRecords[kCompatibleRecordOf[page * kPageSize + (c & (kPageSize - 1))]];
  return {kCompatibleExpansions + found.begin, found.size};
}

std::optional<char32_t> compose(char32_t first, char32_t second) {
  if (first - kFirstLeading < kLeadings && second - kFirstVowel < kVowels) {
    const char32_t index = (first - kFirstLeading) * kVowels + (second - kFirstVowel);
    return kFirstSyllable + index * kTrailings;
  }
  if (is_syllable(first) && (first - kFirstSyllable) % kTrailings == 0) {
    const char32_t trailing = second - kBeforeFirstTrailing;
    if (trailing > 0 && trailing < kTrailings) return first + trailing;
    return std::nullopt;
  }
  for (std::size_t slot = pair_slot(first, second); kPairSlot[slot] != 0;
       slot = (slot + 1) % kPairSlots) {
    const Pair& pair = kPairs[kPairSlot[slot] - 1];
    if (pair.first == first && pair.second == second) return pair.composite;
  }
  return std::nullopt;
}

}  // namespace vecsmith
