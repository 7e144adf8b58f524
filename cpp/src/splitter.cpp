// Each step cuts a piece into entries, which follow one another and cover it: some of them match,
// the others are what lies between. What becomes of them is the step's behavior.

#include "vecsmith/splitter.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "character_set.hpp"

namespace vecsmith {

namespace {

using splitters::Behavior;

// More steps than any pre-tokenizer has: each piece of one is cut by the next in a nested call.
constexpr std::size_t kMostSteps = 32;

// The expression inside ByteLevel.
constexpr std::string_view kByteLevelRegex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct Span {
  const char* begin = nullptr;
  const char* end = nullptr;
};

// Entries -> pieces, as one behavior has it.
template <typename Emit>
class Pieces {
 public:
  Pieces(Behavior behavior, bool invert, Emit& emit)
      : behavior_(behavior), invert_(invert), emit_(emit) {}
  ~Pieces() = default;
  Pieces(const Pieces&) = delete;
  Pieces& operator=(const Pieces&) = delete;

  // The next entry, which begins where the one before ended.
  void add(const char* begin, const char* end, bool is_match) {
    if (invert_) is_match = !is_match;
    switch (behavior_) {
      case Behavior::kRemoved:
        if (!is_match) emit_(begin, end);
        return;
      case Behavior::kIsolated:
        emit_(begin, end);
        return;
      case Behavior::kContiguous:
        extend_if(is_match == last_is_match_, begin, end);
        break;
      case Behavior::kMergedWithPrevious:
        extend_if(is_match && !last_is_match_, begin, end);
        break;
      case Behavior::kMergedWithNext:
        extend_if(!is_match && last_is_match_, begin, end);
        break;
    }
    last_is_match_ = is_match;
  }

  void finish() {
    if (waiting_.begin != nullptr) emit_(waiting_.begin, waiting_.end);
  }

 private:
  void extend_if(bool extends, const char* begin, const char* end) {
    if (extends && waiting_.begin != nullptr) {
      waiting_.end = end;
    } else {
      finish();
      waiting_ = Span{begin, end};
    }
  }

  Behavior behavior_;
  bool invert_;
  Emit& emit_;
  Span waiting_;
  bool last_is_match_ = false;
};

// Each character of `set` matches on its own.
template <typename Emit>
void cut_at(const CharacterSet& set, Behavior behavior, std::string_view text, Emit emit) {
  Pieces pieces(behavior, false, emit);
  const char* const end = text.data() + text.size();
  const char* rest = text.data();
  for (const char* p = rest; p != end;) {
    const char* const here = p;
    if (!set.consume(p, end)) {
      static_cast<void>(decode_utf8(p, end));
      continue;
    }
    if (rest != here) pieces.add(rest, here, false);
    pieces.add(here, p, true);
    rest = p;
  }
  if (rest != end) pieces.add(rest, end, false);
  pieces.finish();
}

template <typename Emit>
void cut_at(const Pattern& pattern, Behavior behavior, bool invert, std::string_view text,
            Emit emit) {
  Pieces pieces(behavior, invert, emit);
  std::size_t rest = 0;
  pattern.find_all(text, [&](std::size_t begin, std::size_t end) {
    if (rest != begin) pieces.add(text.data() + rest, text.data() + begin, false);
    pieces.add(text.data() + begin, text.data() + end, true);
    rest = end;
  });
  if (rest != text.size()) pieces.add(text.data() + rest, text.data() + text.size(), false);
  pieces.finish();
}

// The pieces are runs of word characters and runs of others; spaces are dropped.
struct CutWords {
  CharacterSet words = CharacterSet::of_traits(kPlainWord);
  CharacterSet spaces = CharacterSet::of_traits(kSpace);
};

struct CutAtSet {
  CharacterSet set;
  Behavior behavior;
};

struct CutBytes {
  bool add_prefix_space;
  std::optional<Pattern> pattern;
};

struct CutMetaspace {
  splitters::Metaspace settings;
  std::string replacement;
};

using Step = std::variant<CutWords, CutAtSet, splitters::Split, CutBytes, CutMetaspace>;

// The library's steps as the few kinds there are here.
struct AddStep {
  std::vector<Step>& steps;

  void at_set(std::uint64_t traits, Behavior behavior) const {
    steps.push_back(CutAtSet{CharacterSet::of_traits(traits), behavior});
  }
  void operator()(const splitters::Bert&) const {
    at_set(kSpace, Behavior::kRemoved);
    at_set(kIsolatedPunctuation, Behavior::kIsolated);
  }
  void operator()(const splitters::Whitespace&) const { steps.push_back(CutWords{}); }
  void operator()(const splitters::WhitespaceSplit&) const { at_set(kSpace, Behavior::kRemoved); }
  void operator()(const splitters::Punctuation& s) const {
    at_set(kIsolatedPunctuation, s.behavior);
  }
  void operator()(const splitters::Digits& s) const {
    at_set(kNumeric, s.individual_digits ? Behavior::kIsolated : Behavior::kContiguous);
  }
  void operator()(const splitters::Delimiter& s) const {
    CharacterSet set;
    set.add(s.delimiter);
    steps.push_back(CutAtSet{std::move(set), Behavior::kRemoved});
  }
  void operator()(const splitters::Split& s) const { steps.push_back(s); }
  void operator()(const splitters::ByteLevel& s) const {
    CutBytes step{s.add_prefix_space, std::nullopt};
    if (s.use_regex) step.pattern = Pattern::of_regex(kByteLevelRegex);
    steps.push_back(std::move(step));
  }
  void operator()(const splitters::Metaspace& s) const {
    CutMetaspace step{s, {}};
    append_utf8(step.replacement, s.replacement);
    steps.push_back(std::move(step));
  }
};

bool is_character(char32_t c) { return c <= kMaxCodePoint && (c < 0xD800 || c > 0xDFFF); }

void check(const SplitterSettings& settings) {
  if (settings.size() > kMostSteps) {
    throw std::invalid_argument("a splitter has " + std::to_string(settings.size()) +
                                " steps; it takes at most " + std::to_string(kMostSteps));
  }
  bool after_metaspace = false;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    if (std::holds_alternative<splitters::ByteLevel>(settings[i]) && i + 1 != settings.size()) {
      throw std::invalid_argument("step " + std::to_string(i + 1) + " of " +
                                  std::to_string(settings.size()) +
                                  " of a splitter is ByteLevel, which must be the last");
    }
    if (const auto* const delimiter = std::get_if<splitters::Delimiter>(&settings[i]);
        delimiter != nullptr && !is_character(delimiter->delimiter)) {
      throw std::invalid_argument("a delimiter is " + std::to_string(delimiter->delimiter) +
                                  ", which is no code point");
    }
    const auto* const metaspace = std::get_if<splitters::Metaspace>(&settings[i]);
    if (metaspace == nullptr) continue;
    if (!is_character(metaspace->replacement)) {
      throw std::invalid_argument("the replacement of Metaspace is " +
                                  std::to_string(metaspace->replacement) +
                                  ", which is no code point");
    }
    if (after_metaspace && metaspace->prepend == splitters::Metaspace::Prepend::kFirst) {
      throw std::invalid_argument(
          "a Metaspace that prepends to the first word follows another Metaspace; one of them has "
          "to go");
    }
    after_metaspace = true;
  }
}

// The steps of one text, each handing its pieces to the next.
class Cutting {
 public:
  Cutting(const std::vector<Step>& steps, Words& words) : steps_(steps), words_(words) {}

  void piece(std::size_t i, std::string_view text, bool at_start) {
    if (text.empty()) return;
    if (i == steps_.size()) {
      words_.bytes += text;
      words_.ends.push_back(words_.bytes.size());
      return;
    }
    std::visit([&](const auto& step) { cut(step, i, text, at_start); }, steps_[i]);
  }

 private:
  // What takes the pieces that step `i` makes of `text`.
  auto next_of(std::size_t i, std::string_view text, bool at_start) {
    return [this, i, text, at_start](const char* begin, const char* end) {
      piece(i + 1, {begin, end}, at_start && begin == text.data());
    };
  }

  void cut(const CutAtSet& step, std::size_t i, std::string_view text, bool at_start) {
    cut_at(step.set, step.behavior, text, next_of(i, text, at_start));
  }

  void cut(const splitters::Split& step, std::size_t i, std::string_view text, bool at_start) {
    cut_at(step.pattern, step.behavior, step.invert, text, next_of(i, text, at_start));
  }

  void cut(const CutWords& step, std::size_t i, std::string_view text, bool at_start) {
    const auto next = next_of(i, text, at_start);
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p != end;) {
      const char* const begin = p;
      if (step.spaces.consume(p, end)) continue;
      if (step.words.consume(p, end)) {
        while (p != end && step.words.consume(p, end)) {
        }
      } else {
        skip_others(step, p, end);
      }
      next(begin, p);
    }
  }

  static void skip_others(const CutWords& step, const char*& p, const char* end) {
    for (;;) {
      static_cast<void>(decode_utf8(p, end));
      const char* next = p;
      if (p == end || step.spaces.consume(next, end) || step.words.consume(next, end)) return;
    }
  }

  void cut(const CutBytes& step, std::size_t /*last*/, std::string_view text, bool /*at_start*/) {
    std::string& bytes = words_.bytes;
    const std::size_t begin = bytes.size();
    if (step.add_prefix_space && text.front() != ' ') bytes += ' ';
    bytes += text;
    if (!step.pattern) return words_.ends.push_back(bytes.size());
    // Each character is in a match of this pattern, so the ends of these are all there are.
    step.pattern->find_all(
        std::string_view(bytes).substr(begin),
        [&](std::size_t, std::size_t end) { words_.ends.push_back(begin + end); });
  }

  void cut(const CutMetaspace& step, std::size_t i, std::string_view text, bool at_start) {
    if (i + 1 == steps_.size()) {
      const std::size_t begin = words_.bytes.size();
      append_replaced(step, text, at_start, words_.bytes);
      const std::string_view replaced = std::string_view(words_.bytes).substr(begin);
      for_each_end(step, replaced,
                   [&](std::size_t, std::size_t end) { words_.ends.push_back(begin + end); });
      return;
    }
    std::string replaced;
    append_replaced(step, text, at_start, replaced);
    for_each_end(step, replaced, [&](std::size_t begin, std::size_t end) {
      piece(i + 1, std::string_view(replaced).substr(begin, end - begin), at_start && begin == 0);
    });
  }

  static void append_replaced(const CutMetaspace& step, std::string_view text, bool at_start,
                              std::string& out) {
    using Prepend = splitters::Metaspace::Prepend;
    const Prepend prepend = step.settings.prepend;
    const bool has_one = text.front() == ' ' || text.starts_with(step.replacement);
    if (!has_one && (prepend == Prepend::kAlways || (prepend == Prepend::kFirst && at_start))) {
      out += step.replacement;
    }
    for (std::size_t space = text.find(' '); space != std::string_view::npos;
         space = text.find(' ')) {
      out += text.substr(0, space);
      out += step.replacement;
      text.remove_prefix(space + 1);
    }
    out += text;
  }

  // Pieces begin where the replacement does.
  template <typename Emit>
  static void for_each_end(const CutMetaspace& step, std::string_view text, Emit emit) {
    std::size_t begin = 0;
    while (step.settings.split && begin < text.size()) {
      const std::size_t end = text.find(step.replacement, begin + 1);
      if (end == std::string_view::npos) break;
      emit(begin, end);
      begin = end;
    }
    emit(begin, text.size());
  }

  const std::vector<Step>& steps_;
  Words& words_;
};

}  // namespace

struct Splitter::Plan {
  std::vector<Step> steps;
};

Splitter::Splitter(SplitterSettings settings) : settings_(std::move(settings)) {
  check(settings_);
  Plan plan;
  for (const SplitterStep& step : settings_) std::visit(AddStep{plan.steps}, step);
  plan_ = std::make_shared<const Plan>(std::move(plan));
}

void Splitter::split(std::string_view text, bool at_start, Words& words) const {
  words.clear();
  Cutting(plan_->steps, words).piece(0, text, at_start);
}

}  // namespace vecsmith
