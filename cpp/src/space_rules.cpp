#include "space_rules.hpp"

#include <algorithm>
#include <string_view>
#include <variant>

#include "graphemes.hpp"
#include "text_checks.hpp"
#include "vecsmith/splitter.hpp"
#include "vecsmith/unicode.hpp"

// Which tokenizers these are, and why their texts may be cut.
//
// A step that maps characters, their marks and their neighbours (a character map, NFKC, lower case)
// sees a space as the end of everything: nothing composes with it, and it ends a grapheme cluster
// but for marks and prepended signs, which are looked at. A text that is one word to its model may
// be cut where the model joins nothing: a BPE without a merge across such a place gives the same
// either way. (Not so Unigram: its sums are rounded, and go on.) Steps that change spaces
// themselves are few: Strip, and Replace of a run of spaces by one. Everything else is left to the
// plain path.
//
// What an ASCII byte becomes is not derived but asked: it is normalised, alone and between letters.

namespace vecsmith {

namespace {

// Marks of one byte are left to the plain path: words are looked through for longer ones alone.
constexpr char32_t kFirstMark = 0x80;
constexpr std::string_view kSpaceBytes = "\t\n\v\f\r ";
// Whether a regular expression is one of those that find runs of spaces.
bool joins_spaces(std::string_view regex) {
  constexpr std::string_view kKnown[] = {" {2,}", " +", R"(\s{2,})", R"(\s+)"};
  return std::ranges::find(kKnown, regex) != std::end(kKnown);
}

bool holds_space(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    if (has_any(decode_utf8(p, end), kWhitespace)) return true;
  }
  return false;
}

std::string utf8_of(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

// Reads the steps of the normalizer one by one; false from the first that does not fit.
class NormalizerReader {
 public:
  NormalizerReader(SpaceRules& rules, bool joins_runs) : rules_(rules), joins_runs_(joins_runs) {}

  bool read(const NormalizerSettings& steps) {
    return std::ranges::all_of(steps, [&](const NormalizerStep& step) {
      return std::visit([&](const auto& s) { return take(s); }, step);
    });
  }

  bool has_joined_runs() const { return has_joined_; }

 private:
  bool take(const normalizers::Strip& step) {
    if (has_marked_) return false;  // a row of spaces is a mark by now, which is not stripped
    rules_.strips_left |= step.left;
    rules_.strips_right |= step.right;
    has_stripped_ = true;
    return true;
  }

  bool take(const normalizers::Prepend& /*step*/) { return false; }

  // Where spaces are gone already, marks have other neighbours than in the text.
  bool take(const normalizers::Precompiled& step) {
    if (has_joined_ || has_stripped_) return false;
    if (!rules_.inner.empty()) rules_.before_maps.emplace_back(rules_.inner);
    return take_inner(step);
  }

  bool take(const normalizers::Replace& step) {
    if (!step.pattern.is_regex()) {
      const bool is_inner =
          !holds_space(step.pattern.text()) &&
          (rules_.mark.empty() || step.pattern.text().find(rules_.mark) == std::string::npos);
      return is_inner && take_inner(step);
    }
    const bool is_space = step.content == " " || (joins_runs_ && step.content == rules_.mark);
    if (!is_space || !joins_spaces(step.pattern.text())) return false;
    has_joined_ = true;
    has_marked_ |= step.content != " ";
    rules_.inner.emplace_back(step);
    return true;
  }

  template <typename Step>
  bool take(const Step& step) {
    return take_inner(step);
  }

  // A step that could make spaces must not come behind one that has dealt with them.
  template <typename Step>
  bool take_inner(const Step& step) {
    if (joins_runs_ && (has_joined_ || has_stripped_)) return false;
    rules_.inner.emplace_back(step);
    return true;
  }

  SpaceRules& rules_;
  bool joins_runs_;  // words keep their spaces, so it matters how many there are
  bool has_joined_ = false;
  bool has_marked_ = false;
  bool has_stripped_ = false;
};

// Steps that end words at white space, or whose words begin with a mark for the space before them.
bool read_splitter(const SplitterSettings& steps, SpaceRules& rules) {
  if (steps.empty()) return false;
  if (const auto* const mark = std::get_if<splitters::Metaspace>(steps.data())) {
    rules.spaces = SpaceRules::Spaces::kCounted;
    rules.mark = utf8_of(mark->replacement);
    rules.marks_first = mark->prepend != splitters::Metaspace::Prepend::kNever;
    return mark->split && steps.size() == 1 && mark->replacement >= kFirstMark;
  }
  rules.spaces = SpaceRules::Spaces::kDropped;
  const bool drops = std::holds_alternative<splitters::WhitespaceSplit>(steps[0]) ||
                     std::holds_alternative<splitters::Whitespace>(steps[0]) ||
                     std::holds_alternative<splitters::Bert>(steps[0]);
  rules.cuts_whitespace = true;
  rules.needs_splitter = !std::holds_alternative<splitters::WhitespaceSplit>(steps[0]);
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (std::holds_alternative<splitters::ByteLevel>(steps[i])) return false;
    const auto* const mark = std::get_if<splitters::Metaspace>(&steps[i]);
    if (mark == nullptr) {
      rules.needs_splitter = true;
    } else if (mark->prepend == splitters::Metaspace::Prepend::kFirst ||
               mark->replacement < kFirstMark) {
      return false;
    } else {
      rules.needs_splitter |= steps.size() > 2 || !mark->split;
      rules.mark = mark->prepend == splitters::Metaspace::Prepend::kAlways
                       ? utf8_of(mark->replacement)
                       : std::string();
      rules.needs_splitter |= rules.mark.empty();
    }
  }
  return drops;
}

// What the inner steps make of a byte, alone and between two letters.
SpaceRules::Byte byte_of(char byte, const SpaceRules& rules, const Normalizer& inner) {
  const auto normalized = [&](const std::string& text) {
    std::string out;
    inner.append(text, out);
    return out;
  };
  const std::string alone = normalized(std::string(1, byte));
  const bool is_steady = normalized(std::string("a") + byte + "b") == "a" + alone + "b";
  const bool is_control = byte < ' ' || byte == '\x7F';
  const bool is_space_byte = kSpaceBytes.find(byte) != std::string_view::npos;
  const bool is_dropped = rules.spaces == SpaceRules::Spaces::kDropped && !alone.empty() &&
                          alone.find_first_not_of(kSpaceBytes) == std::string::npos;
  if (alone == " " || is_dropped) {
    // A line feed after a carriage return is one character with it to a map: one space, or a word.
    const std::string both = normalized("\r\n");
    const bool is_space = !both.empty() && both.find_first_not_of(kSpaceBytes) == std::string::npos;
    const bool counts =
        rules.spaces == SpaceRules::Spaces::kCounted || rules.spaces == SpaceRules::Spaces::kJoined;
    const bool joins = byte == '\r' && (counts || !is_space);
    return is_space_byte && is_steady && !joins ? SpaceRules::Byte::kSeparator
                                                : SpaceRules::Byte::kOdd;
  }
  if (!is_control) return SpaceRules::Byte::kWord;
  const bool stays = alone.size() == 1 && alone[0] == byte && is_steady;
  return is_space_byte && stays ? SpaceRules::Byte::kWord : SpaceRules::Byte::kOdd;
}

// Whether a step puts something in the place of every space, and what.
const std::string* content_for_space(const NormalizerStep& step) {
  const auto* const replace = std::get_if<normalizers::Replace>(&step);
  const bool is_it =
      replace != nullptr && !replace->pattern.is_regex() && replace->pattern.text() == " ";
  return is_it ? &replace->content : nullptr;
}

// Takes the steps that make marks of spaces off the end of a normalizer.
bool take_marks(NormalizerSettings& steps, SpaceRules& rules) {
  const normalizers::Prepend* prepend = nullptr;
  std::size_t n = steps.size();
  for (; n > 0; --n) {
    const auto* const prefix = std::get_if<normalizers::Prepend>(&steps[n - 1]);
    const std::string* const content = content_for_space(steps[n - 1]);
    if (prefix != nullptr && prepend == nullptr) {
      prepend = prefix;
    } else if (content != nullptr && rules.mark.empty()) {
      rules.mark = *content;
    } else {
      break;
    }
  }
  if (rules.mark.empty() || (prepend != nullptr && prepend->prefix != rules.mark)) return false;
  rules.marks_first = rules.adds_mark = prepend != nullptr;
  steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(n), steps.end());
  return true;
}

// Where no step cuts text at spaces, what makes marks of them.
bool read_joined(const SplitterSettings& splitter, NormalizerSettings& normalizer,
                 SpaceRules& rules) {
  if (splitter.size() > 1) return false;
  if (!splitter.empty()) {
    if (const auto* const mark = std::get_if<splitters::Metaspace>(splitter.data())) {
      rules.mark = utf8_of(mark->replacement);
      rules.marks_first = mark->prepend != splitters::Metaspace::Prepend::kNever;
      return !mark->split;
    }
    // One that looks for spaces finds none any more.
    const auto* const split = std::get_if<splitters::Split>(splitter.data());
    if (split == nullptr || split->invert || split->pattern.is_regex() ||
        split->pattern.text() != " ") {
      return false;
    }
  }
  return take_marks(normalizer, rules);
}

// Whether nothing ever merges with a mark behind it, so that a text may be cut before each first
// mark of a row and its parts be merged alone.
bool begins_words(std::string_view mark, const BpeSettings& model) {
  // Without an unknown token characters may vanish, and what was around them meet.
  if (model.byte_level || model.ignore_merges || !model.unk_id) return false;
  const auto token = std::ranges::find(model.tokens, mark);
  if (token == model.tokens.end()) return false;
  if (model.unk_id == model.ids[static_cast<std::size_t>(token - model.tokens.begin())]) {
    return false;
  }
  return std::ranges::all_of(model.merges, [&](const BpeSettings::Merge& merge) {
    return model.tokens[merge.left].ends_with(mark) || !model.tokens[merge.right].starts_with(mark);
  });
}

std::optional<SpaceRules> joined_rules_of(const TokenizerSettings& settings) {
  const auto* const model = std::get_if<BpeSettings>(&settings.model);
  SpaceRules rules;
  rules.spaces = SpaceRules::Spaces::kJoined;
  NormalizerSettings normalizer = settings.normalizer;
  if (model == nullptr || !read_joined(settings.splitter, normalizer, rules)) return std::nullopt;
  const char* mark = rules.mark.data();
  const char* const end = mark + rules.mark.size();
  if (decode_utf8(mark, end) < kFirstMark || mark != end) return std::nullopt;
  NormalizerReader reader(rules, true);
  if (!reader.read(normalizer) || reader.has_joined_runs()) return std::nullopt;
  if (rules.strips_left || rules.strips_right || !begins_words(rules.mark, *model)) {
    return std::nullopt;
  }
  return rules;
}

std::optional<SpaceRules> cut_rules_of(const TokenizerSettings& settings) {
  using Spaces = SpaceRules::Spaces;
  SpaceRules rules;
  if (!read_splitter(settings.splitter, rules)) return std::nullopt;
  NormalizerReader reader(rules, rules.spaces == Spaces::kCounted);
  if (!reader.read(settings.normalizer)) return std::nullopt;
  if (reader.has_joined_runs() && rules.spaces == Spaces::kCounted) rules.spaces = Spaces::kOne;
  return rules;
}

bool is_control(GraphemeClass c) {
  return c == GraphemeClass::kControl || c == GraphemeClass::kCarriageReturn ||
         c == GraphemeClass::kLineFeed;
}

}  // namespace

// Whether spaces before and behind a segment end the grapheme clusters at its ends: surely, or in
// effect where they leave no trace, or not at all. A sign that is prepended takes the space behind
// it, and perhaps what follows, into its cluster.
SpaceRules::Ends SpaceRules::ends_of(std::string_view segment) {
  if (segment.empty()) return Ends::kPerhaps;
  Ends ends = Ends::kOwn;
  const char* p = segment.data();
  const char* const end = p + segment.size();
  if (static_cast<unsigned char>(*p) >= 0x80) {
    const GraphemeClass first = grapheme_class(decode_utf8(p, end));
    if (is_control(first) || may_join(GraphemeClass::kOther, first)) ends = Ends::kPerhaps;
  }
  const char* last = end - 1;
  if (static_cast<unsigned char>(*last) < 0x80) return ends;
  while (last != segment.data() && is_continuation(*last)) --last;
  const GraphemeClass of = grapheme_class(decode_utf8(last, end));
  if (may_join(of, GraphemeClass::kOther)) return Ends::kJoined;
  return is_control(of) ? Ends::kPerhaps : ends;
}

// A segment that begins with a mark is in one cluster with a space before it, which mostly changes
// nothing, and one with a soft hyphen at its end loses that: so it is looked at between spaces. The
// other separators are control characters, with which nothing joins.
bool SpaceRules::stands_alone(std::string_view segment, std::string_view normalized,
                              const Normalizer& normalizer) const {
  constexpr std::size_t kWord = 32;  // what is longer is not kept, and would be looked at each time
  Ends ends = ends_of(segment);
  for (const Normalizer& steps : before_maps) {
    std::string before;
    steps.append(segment, before);
    ends = std::max(ends, ends_of(before));
  }
  if (ends != Ends::kPerhaps || segment.size() > kWord) return ends == Ends::kOwn;
  std::string space;
  normalizer.append(" ", space);
  std::string between(1, ' ');
  between.append(segment).push_back(' ');
  std::string found;
  normalizer.append(between, found);
  std::string expected = space;
  expected.append(normalized).append(space);
  return found == expected;
}

bool SpaceRules::has_clean_ends(std::string_view inner) const {
  if (inner.empty() || inner.starts_with(mark) || inner.ends_with(mark)) return false;
  const char* p = inner.data();
  const char* const end = p + inner.size();
  if (has_any(decode_utf8(p, end), kWhitespace)) return false;
  p = end - 1;
  while (p != inner.data() && is_continuation(*p)) --p;
  return !has_any(decode_utf8(p, end), kWhitespace);
}

bool SpaceRules::is_one_word(std::string_view inner) const {
  constexpr std::size_t kWorthIt = 32;
  if (inner.size() >= kWorthIt && !may_end_word(inner)) return true;
  const char* const end = inner.data() + inner.size();
  for (const char* p = inner.data(); p != end; ++p) {
    const auto b = static_cast<unsigned char>(*p);
    if (b > ' ' && b < 0xC2) continue;
    if (b <= ' ' && (b == ' ' || cuts_whitespace)) return false;
    if (!mark.empty() && *p == mark[0] && std::string_view(p, end).starts_with(mark)) return false;
    // First bytes of all white space beyond ASCII; the commonest of them begins every kana, too.
    const bool is_first =
        b == 0xC2 || b == 0xE1 || b == 0xE2 || (b == 0xE3 && end - p > 1 && p[1] == '\x80');
    if (!is_first || !cuts_whitespace) continue;
    const char* after = p;
    if (has_any(decode_utf8(after, end), kWhitespace)) return false;
  }
  return true;
}

// Whether there is a byte with which something may begin that ends a word. No way out, so that it
// is done sixteen bytes at a time: a sentence without spaces is one word.
bool SpaceRules::may_end_word(std::string_view inner) const {
  const auto* const p = reinterpret_cast<const unsigned char*>(inner.data());
  const auto first = static_cast<unsigned char>(mark.empty() ? ' ' : mark[0]);
  unsigned char found = 0;
  const auto note = [&](bool is_found) { found |= static_cast<unsigned char>(is_found); };
  for (std::size_t i = 0; i < inner.size(); ++i) {
    note((p[i] <= ' ') | (p[i] == 0xC2) | (p[i] == 0xE1) | (p[i] == 0xE2) | (p[i] == first));
  }
  for (std::size_t i = 0; i + 2 < inner.size(); ++i) {
    note((p[i] == 0xE3) & (p[i + 1] == 0x80) & (p[i + 2] == 0x80));
  }
  return found != 0;
}

std::optional<SpaceRules> space_rules_of(const TokenizerSettings& settings) {
  std::optional<SpaceRules> rules = cut_rules_of(settings);
  if (!rules) rules = joined_rules_of(settings);
  if (!rules) return std::nullopt;
  const Normalizer inner(rules->inner);
  for (unsigned b = 0; b < 128; ++b) {
    rules->bytes[b] = byte_of(static_cast<char>(b), *rules, inner);
  }
  return rules->bytes[' '] == SpaceRules::Byte::kSeparator ? rules : std::nullopt;
}

}  // namespace vecsmith
