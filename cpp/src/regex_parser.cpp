// Regular expressions -> programs. Whatever is not known to mean the same here as in Oniguruma is
// refused: the caller then leaves the text to that library.

#include <algorithm>
#include <tuple>
#include <utility>

#include "regex_program.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

using Kind = Instruction::Kind;
using Code = std::vector<Instruction>;

constexpr std::size_t kLongest = 8192;        // bytes of an expression
constexpr std::size_t kDeepest = 8;           // groups and classes within each other
constexpr std::size_t kMostCode = 1024;       // instructions of an alternative
constexpr std::uint32_t kMostRepeats = 64;    // of a limited run
constexpr std::uint64_t kMostBranches = 256;  // ways through an alternative, unlimited runs aside

// Thrown inside the parser alone, and caught at its entrance.
struct Unknown {};

// Code that takes at least `least` characters, in one of `branches` ways.
struct Part {
  Code code;
  std::size_t least = 0;
  std::uint64_t branches = 1;
};

struct Property {
  std::string_view name;
  std::uint64_t traits;
};

constexpr Property kProperties[] = {
    {"L", kLetter},
    {"Lu", kUppercaseLetter},
    {"Ll", kLowercaseLetter},
    {"Lt", kTitlecaseLetter},
    {"Lm", kModifierLetter},
    {"Lo", kOtherLetter},
    {"M", kMark},
    {"Mn", kNonspacing},
    {"Mc", kSpacingMark},
    {"Me", kEnclosingMark},
    {"N", kNumber},
    {"Nd", kDecimalNumber},
    {"Nl", kLetterNumber},
    {"No", kOtherNumber},
    {"P", kRegexPunctuation},
    {"Pc", kConnector},
    {"Pd", kDash},
    {"Ps", kOpening},
    {"Pe", kClosing},
    {"Pi", kInitialQuote},
    {"Pf", kFinalQuote},
    {"Po", kOtherPunctuation},
    {"S", kSymbol},
    {"Sm", kMathSymbol},
    {"Sc", kCurrency},
    {"Sk", kModifierSymbol},
    {"So", kOtherSymbol},
    {"Z", kSeparator},
    {"Zs", kSpaceSeparator},
    {"Zl", kLineSeparator},
    {"Zp", kParagraphSeparator},
    {"C", kOtherCategory},
    {"Cc", kControlCharacter},
    {"Cf", kFormatCharacter},
    {"Co", kPrivateUse},
    {"Cn", kUnassigned},
    {"Han", kHan},
    {"Hiragana", kHiragana},
    {"Katakana", kKatakana},
};

constexpr bool is_ascii_letter(char32_t c) {
  return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}

// Pairs that fold to one character, such as U+FB01 for "fi" and U+00DF for "ss".
bool is_ligature(char32_t first, char32_t second) {
  constexpr std::u32string_view kSeconds = U"filt";
  if (first == U's') return second == U's' || second == U't';
  return first == U'f' && kSeconds.find(second) != std::u32string_view::npos;
}

class Parser {
 public:
  explicit Parser(std::string_view regex) : p_(regex.data()), end_(regex.data() + regex.size()) {}

  RegexProgram parse() {
    std::vector<Code> alternatives;
    do {
      Part part = sequence(0, false);
      if (part.least == 0 || alternatives.size() == RegexProgram::kMostAlternatives)
        throw Unknown();
      check_effort(part);
      part.code.push_back({.kind = Kind::kMatch});
      alternatives.push_back(std::move(part.code));
    } while (accept('|'));
    if (p_ != end_) throw Unknown();
    return {std::move(sets_), alternatives};
  }

 private:
  // --- The text of the expression ---

  [[nodiscard]] bool is_next(char c) const { return p_ != end_ && *p_ == c; }
  bool accept(std::string_view wanted) {
    if (!std::string_view(p_, end_).starts_with(wanted)) return false;
    p_ += wanted.size();
    return true;
  }
  bool accept(char wanted) { return accept(std::string_view(&wanted, 1)); }
  void require(char wanted) {
    if (!accept(wanted)) throw Unknown();
  }
  char32_t next_character() {
    if (p_ == end_) throw Unknown();
    const char32_t c = decode_utf8(p_, end_);
    if (c == kReplacementCharacter) throw Unknown();  // perhaps ill-formed
    return c;
  }

  // --- Sequences and groups ---

  Part sequence(std::size_t depth, bool ignores_case) {
    Part whole;
    char32_t before = 0;  // the letter before, where case is ignored
    while (p_ != end_ && !is_next('|') && !is_next(')')) {
      const char* const begin = p_;
      // Behind such a beginning the library overlooks matches, as of (?=\W).*m inside a line.
      if (whole.code.empty() && begins_with_a_look()) throw Unknown();
      append(whole, item(depth, ignores_case));
      const bool is_letter = p_ - begin == 1 && is_ascii_letter(static_cast<unsigned char>(*begin));
      const char32_t letter = is_letter ? static_cast<unsigned char>(*begin) | 0x20U : 0U;
      if (ignores_case && is_ligature(before, letter)) throw Unknown();
      before = letter;
    }
    return whole;
  }

  [[nodiscard]] bool begins_with_a_look() const {
    const std::string_view rest(p_, end_);
    return is_next('$') || rest.starts_with("(?!") || rest.starts_with("(?=");
  }

  Part item(std::size_t depth, bool ignores_case) {
    if (is_next('(')) return group(depth, ignores_case);
    if (accept('$')) return {{{.kind = Kind::kLineEnd}}, 0, 1};
    return repeated(element(depth, ignores_case));
  }

  Part group(std::size_t depth, bool ignores_case) {
    if (depth == kDeepest) throw Unknown();
    // The library overlooks matches of (?i:(?=s).+) that begin with a capital.
    const std::string_view rest(p_, end_);
    if (ignores_case && (rest.starts_with("(?!") || rest.starts_with("(?="))) throw Unknown();
    if (accept("(?!")) return look(Kind::kNotFollowed, depth);
    if (accept("(?=")) return look(Kind::kFollowed, depth);
    if (accept("(?i:")) {
      ignores_case = true;
    } else if (!accept("(?:")) {
      require('(');
      if (is_next('?') || is_next('*')) throw Unknown();
    }
    Part inside = choice(depth + 1, ignores_case);
    require(')');
    const bool is_optional = accept('?');
    if (is_quantifier() || (is_optional && inside.least == 0)) throw Unknown();
    return is_optional ? optional(std::move(inside)) : inside;
  }

  // (?!x) or (?=x) of one character.
  Part look(Kind kind, std::size_t depth) {
    const std::uint16_t set = keep(element(depth, false));
    require(')');
    if (is_quantifier()) throw Unknown();
    return {{{.kind = kind, .set = set}}, 0, 1};
  }

  Part choice(std::size_t depth, bool ignores_case) {
    Part first = sequence(depth, ignores_case);
    if (!accept('|')) return first;
    Part others = choice_of_others(depth, ignores_case);
    return either(std::move(first), std::move(others));
  }

  Part choice_of_others(std::size_t depth, bool ignores_case) {
    std::vector<Part> parts;
    do {
      parts.push_back(sequence(depth, ignores_case));
    } while (accept('|'));
    Part last = std::move(parts.back());
    parts.pop_back();
    for (; !parts.empty(); parts.pop_back())
      last = either(std::move(parts.back()), std::move(last));
    return last;
  }

  static std::uint16_t jump_over(std::size_t n) {
    if (n > kMostCode) throw Unknown();
    return static_cast<std::uint16_t>(n);
  }

  static Part either(Part first, Part second) {
    Part whole;
    whole.least = std::min(first.least, second.least);
    whole.branches = limited(first.branches + second.branches);
    whole.code.push_back({.kind = Kind::kSplit, .jump = jump_over(first.code.size() + 2)});
    whole.code.insert(whole.code.end(), first.code.begin(), first.code.end());
    whole.code.push_back({.kind = Kind::kJump, .jump = jump_over(second.code.size() + 1)});
    whole.code.insert(whole.code.end(), second.code.begin(), second.code.end());
    return whole;
  }

  static Part optional(Part inside) {
    inside.code.insert(inside.code.begin(),
                       {.kind = Kind::kSplit, .jump = jump_over(inside.code.size() + 1)});
    return {std::move(inside.code), 0, limited(inside.branches + 1)};
  }

  static void append(Part& whole, Part part) {
    whole.code.insert(whole.code.end(), part.code.begin(), part.code.end());
    whole.least += part.least;
    whole.branches = limited(whole.branches * part.branches);
    static_cast<void>(jump_over(whole.code.size()));
  }

  static std::uint64_t limited(std::uint64_t branches) {
    if (branches > kMostBranches) throw Unknown();
    return branches;
  }

  void check_effort(const Part& part) const {
    const auto is_choice = [](const Instruction& i) {
      return i.kind == Kind::kRun || i.kind == Kind::kSplit;
    };
    const auto n = static_cast<std::size_t>(std::ranges::count_if(part.code, is_choice));
    if (n > RegexProgram::kMostChoices || n_memos_ > RegexProgram::kMostMemos) throw Unknown();
  }

  // --- Repetition ---

  [[nodiscard]] bool is_quantifier() const {
    return is_next('?') || is_next('*') || is_next('+') || is_next('{');
  }

  Part repeated(CharacterSet element) {
    const std::uint16_t set = keep(std::move(element));
    std::uint32_t least = 0;
    std::uint32_t most = Instruction::kUnlimited;
    bool possessive = false;
    if (accept('{')) {
      std::tie(least, most) = counts();
      // Behind braces a plus is no mark of greed but repeats the repetition: {1,3}+ is +.
      if (accept('+')) {
        if (least != 1) throw Unknown();
        most = Instruction::kUnlimited;
      }
    } else {
      if (accept('+')) {
        least = 1;
      } else if (accept('?')) {
        most = 1;
      } else if (!accept('*')) {
        return {{{.kind = Kind::kCharacter, .set = set}}, 1, 1};
      }
      possessive = accept('+');
    }
    if (is_quantifier()) throw Unknown();
    return run(set, least, most, possessive);
  }

  Part run(std::uint16_t set, std::uint32_t least, std::uint32_t most, bool possessive) {
    Instruction run = {.kind = Kind::kRun, .possessive = possessive, .set = set};
    run.least = least;
    run.most = most;
    const bool unlimited = most == Instruction::kUnlimited;
    if (unlimited) run.memo = n_memos_++;
    return {{run}, least, unlimited || possessive ? 1U : std::uint64_t{most} - least + 1};
  }

  // {n}, {n,} or {n,m}
  std::pair<std::uint32_t, std::uint32_t> counts() {
    const std::uint32_t least = count();
    std::uint32_t most = least;
    if (accept(',')) most = is_next('}') ? Instruction::kUnlimited : count();
    require('}');
    const bool possible = most != 0 && least <= most;
    if (!possible) throw Unknown();
    return {least, most};
  }

  std::uint32_t count() {
    const char* const begin = p_;
    std::uint32_t n = 0;
    for (; p_ != end_ && *p_ >= '0' && *p_ <= '9' && n <= kMostRepeats; ++p_) {
      n = n * 10 + static_cast<std::uint32_t>(*p_ - '0');
    }
    if (p_ == begin || n > kMostRepeats) throw Unknown();
    return n;
  }

  // --- Characters ---

  std::uint16_t keep(CharacterSet set) {
    sets_.push_back(std::move(set));
    return static_cast<std::uint16_t>(sets_.size() - 1);
  }

  CharacterSet element(std::size_t depth, bool ignores_case) {
    if (accept('[')) return bracket(depth, ignores_case);
    if (accept('.')) {
      CharacterSet all_but_line_feed;
      all_but_line_feed.add(U'\n');
      all_but_line_feed.complement();
      return all_but_line_feed;
    }
    if (const std::optional<CharacterSet> named = named_set(false)) return *named;
    constexpr std::string_view kOperators = "^*+?{}[]()|$";
    if (p_ != end_ && kOperators.find(*p_) != std::string_view::npos) throw Unknown();
    return letter(character(), ignores_case);
  }

  // \s, \p{L} and their like.
  std::optional<CharacterSet> named_set(bool in_brackets) {
    if (accept("\\p{")) return property(accept('^'));
    if (accept("\\P{")) return property(true);
    static constexpr std::pair<std::string_view, std::uint64_t> kEscapes[] = {
        {"\\s", kSpace},         {"\\S", kSpace},     {"\\d", kDecimalNumber},
        {"\\D", kDecimalNumber}, {"\\w", kRegexWord}, {"\\W", kRegexWord},
    };
    for (const auto& [escape, traits] : kEscapes) {
      if (!accept(escape)) continue;
      CharacterSet set = CharacterSet::of_traits(traits);
      if (traits == kRegexWord && in_brackets) set = words_in_brackets();
      if (escape[1] < 'a') set.complement();
      return set;
    }
    return std::nullopt;
  }

  // The library takes U+00B2, U+00BD and the like for word characters, but not between brackets.
  static CharacterSet words_in_brackets() {
    CharacterSet words = CharacterSet::of_traits(kOtherNumber);
    words.complement();
    static_cast<void>(words.intersect(CharacterSet::of_traits(kRegexWord)));
    return words;
  }

  CharacterSet property(bool is_complement) {
    const char* const begin = p_;
    while (p_ != end_ && *p_ != '}') ++p_;
    const auto* const found =
        std::ranges::find(kProperties, std::string_view(begin, p_), &Property::name);
    require('}');
    if (found == std::end(kProperties)) throw Unknown();
    CharacterSet set = CharacterSet::of_traits(found->traits);
    if (is_complement) set.complement();
    return set;
  }

  // One character, perhaps escaped.
  char32_t character() {
    if (!accept('\\')) return next_character();
    const char32_t c = next_character();
    if (c == U'n') return U'\n';
    if (c == U'r') return U'\r';
    if (c == U't') return U'\t';
    const bool stands_for_itself = c < 0x80 && is_any(c, kIsolatedPunctuation | kSpace);
    if (!stands_for_itself) throw Unknown();
    return c;
  }

  static CharacterSet letter(char32_t c, bool ignores_case) {
    CharacterSet set;
    set.add(c);
    if (!ignores_case) return set;
    if (c >= 0x80) throw Unknown();
    if (!is_ascii_letter(c)) return set;
    set.add(c ^ 0x20U);
    if ((c | 0x20U) == U'k') set.add(U'\u212A');  // the Kelvin sign
    if ((c | 0x20U) == U's') set.add(U'\u017F');  // the long s
    return set;
  }

  // What is between brackets; the opening one is behind.
  CharacterSet bracket(std::size_t depth, bool ignores_case) {
    if (depth == kDeepest) throw Unknown();
    const bool is_complement = accept('^');
    if (ignores_case && is_complement) throw Unknown();
    if (is_next(']')) throw Unknown();
    CharacterSet all = united(depth, ignores_case);
    while (accept("&&")) {
      if (!all.intersect(united(depth, ignores_case))) throw Unknown();
    }
    require(']');
    if (is_complement) {
      // Of what unites to all there is, the library does not always make nothing.
      if (all.has_all_beyond_ascii()) throw Unknown();
      all.complement();
    }
    return all;
  }

  CharacterSet united(std::size_t depth, bool ignores_case) {
    CharacterSet all;
    const char* const begin = p_;
    while (p_ != end_ && *p_ != ']' && !std::string_view(p_, end_).starts_with("&&")) {
      if (!all.unite(member(depth, ignores_case))) throw Unknown();
    }
    if (p_ == begin) throw Unknown();
    return all;
  }

  CharacterSet member(std::size_t depth, bool ignores_case) {
    if (is_next('[')) {
      if (std::string_view(p_, end_).starts_with("[:")) throw Unknown();
      ++p_;
      return bracket(depth + 1, ignores_case);
    }
    if (const std::optional<CharacterSet> named = named_set(true)) {
      if (is_next('-') || ignores_case) throw Unknown();
      return *named;
    }
    if (is_next('-')) return hyphen();
    const char32_t first = character();
    if (!is_next('-') || std::string_view(p_, end_).starts_with("-]")) {
      return letter(first, ignores_case);
    }
    ++p_;
    if (is_next('[') || is_next('-') || ignores_case) throw Unknown();
    const std::string_view rest(p_, end_);
    if (rest.starts_with("\\p") || rest.starts_with("\\P")) throw Unknown();
    const char32_t last = character();
    if (last < first || is_next('-')) throw Unknown();
    CharacterSet set;
    set.add_range(first, last);
    return set;
  }

  // A hyphen for itself: only where it cannot be taken for a range.
  CharacterSet hyphen() {
    const bool is_first = p_[-1] == '[' || (p_[-1] == '^' && p_[-2] == '[');
    ++p_;
    if (!is_first && !is_next(']')) throw Unknown();
    if (is_next('-')) throw Unknown();
    CharacterSet set;
    set.add(U'-');
    return set;
  }

  const char* p_;
  const char* end_;
  std::vector<CharacterSet> sets_;
  std::uint16_t n_memos_ = 0;
};

}  // namespace

std::optional<RegexProgram> parse_regex(std::string_view regex) {
  if (regex.size() > kLongest) return std::nullopt;
  try {
    return Parser(regex).parse();
  } catch (const Unknown&) {
    return std::nullopt;
  }
}

}  // namespace vecsmith
