#include "regex_program.hpp"

#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

using Kind = Instruction::Kind;

// Where a match goes on when it cannot go on as it did: behind a split at `at` alone; behind a run
// at each character before `at`, down to `least`.
struct Choice {
  std::size_t next;  // instruction
  const char* at;
  const char* least;    // null: a split
  const char* run_end;  // of an unlimited run, else null
  const char* memo_begin;
};

// The beginning of the character that ends at `p`, as decode_utf8 sees it: a byte that continues
// nothing is a character of its own.
const char* previous(const char* text, const char* p) {
  const char* const last = p - 1;
  const char* lead = last;
  while (is_continuation(*lead) && lead != text && last - lead < 3) --lead;
  if (lead == last) return last;
  const char* decoded = lead;
  static_cast<void>(decode_utf8(decoded, p));
  return decoded == p ? lead : last;
}

// One attempt to match an alternative: where it is in the text, and what else it could have done.
class Attempt {
 public:
  Attempt(std::string_view text, std::size_t at)
      : begin_(text.data()), end_(begin_ + text.size()), p_(begin_ + at) {}

  [[nodiscard]] std::size_t position() const { return static_cast<std::size_t>(p_ - begin_); }
  bool take(const CharacterSet& set) { return p_ != end_ && set.consume(p_, end_); }
  [[nodiscard]] bool is_followed(const CharacterSet& set) const {
    const char* p = p_;
    return p != end_ && set.consume(p, end_);
  }
  [[nodiscard]] bool is_at_line_end() const { return p_ == end_ || *p_ == '\n'; }

  void add_split(std::size_t next) {
    choices_[n_choices_++] = {next, p_, nullptr, nullptr, nullptr};
  }

  bool take_limited_run(const Instruction& run, const CharacterSet& set, std::size_t next) {
    if (!take_least(run, set)) return false;
    const char* const least = p_;
    const char* p = p_;
    for (std::uint32_t n = run.least; n < run.most && p != end_ && set.consume(p, end_); ++n) {
    }
    p_ = p;
    if (!run.possessive && p_ != least)
      choices_[n_choices_++] = {next, p_, least, nullptr, nullptr};
    return true;
  }

  // The last of an alternative: nothing behind it can fail.
  bool take_last_run(const Instruction& run, const CharacterSet& set) {
    if (!take_least(run, set)) return false;
    p_ = set.skip(p_, end_);
    return true;
  }

  bool take_unlimited_run(const Instruction& run, const CharacterSet& set, std::size_t next,
                          const RegexProgram::Memo& memo) {
    if (!take_least(run, set)) return false;
    const char* const least = p_;
    const std::size_t at = position();
    if (at >= memo.begin && at <= memo.end) return false;
    // What is known of the end of a run holds for one that reaches it.
    const bool is_before = memo.begin <= memo.end && at < memo.begin;
    const char* const known = is_before ? begin_ + memo.begin : end_;
    p_ = set.skip(p_, known);
    const bool is_known = p_ == known && known != end_;
    const char* const run_end = is_known ? begin_ + memo.end : p_;
    choices_[n_choices_++] = {next, p_, run.possessive ? p_ : least, run_end, least};
    return !is_known;
  }

  // Goes back to the last choice with something left; the instruction there, or `none`.
  std::size_t go_back(const std::vector<Instruction>& instructions, RegexProgram::Memos& memos,
                      std::size_t none) {
    while (n_choices_ > 0) {
      Choice& choice = choices_[n_choices_ - 1];
      if (choice.least == nullptr) {
        --n_choices_;
        p_ = choice.at;
        return choice.next;
      }
      if (choice.at != choice.least) {
        p_ = choice.at = previous(begin_, choice.at);
        return choice.next;
      }
      if (choice.run_end != nullptr) {
        memos[instructions[choice.next - 1].memo] = {
            static_cast<std::size_t>(choice.memo_begin - begin_),
            static_cast<std::size_t>(choice.run_end - begin_)};
      }
      --n_choices_;
    }
    return none;
  }

 private:
  bool take_least(const Instruction& run, const CharacterSet& set) {
    for (std::uint32_t n = 0; n < run.least; ++n) {
      if (!take(set)) return false;
    }
    return true;
  }

  const char* begin_;
  const char* end_;
  const char* p_;
  std::array<Choice, RegexProgram::kMostChoices> choices_;
  std::size_t n_choices_ = 0;
};

}  // namespace

RegexProgram::RegexProgram(std::vector<CharacterSet> sets,
                           const std::vector<std::vector<Instruction>>& alternatives)
    : sets_(std::move(sets)) {
  for (const std::vector<Instruction>& alternative : alternatives) {
    const std::uint64_t bit = std::uint64_t{1} << starts_.size();
    starts_.push_back(instructions_.size());
    instructions_.insert(instructions_.end(), alternative.begin(), alternative.end());
    for_each_beginning(starts_.back(), [&](const CharacterSet& set) {
      for (unsigned c = 0; c < of_ascii_.size(); ++c) {
        if (set.contains_ascii(c)) of_ascii_[c] |= bit;
      }
      for (unsigned i = 0; i < of_class_.size(); ++i) {
        if ((set.possible_classes() >> i & 1U) != 0) of_class_[i] |= bit;
      }
    });
  }
  for (std::size_t i = 0; i < instructions_.size(); ++i) {
    if (instructions_[i].kind == Kind::kSplit) add_guard(i);
  }
}

// Calls `add` with the sets of which characters may come first for the instructions from `start`
// on. False where these may take no character at all.
template <typename Add>
bool RegexProgram::for_each_beginning(std::size_t start, Add add) const {
  std::vector<std::size_t> waiting = {start};
  std::vector<bool> seen(instructions_.size());
  bool takes_some = true;
  while (!waiting.empty()) {
    const std::size_t at = waiting.back();
    waiting.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    const Instruction& instruction = instructions_[at];
    const bool is_run = instruction.kind == Kind::kRun;
    if (is_run || instruction.kind == Kind::kCharacter) add(sets_[instruction.set]);
    if (instruction.kind == Kind::kSplit || instruction.kind == Kind::kJump) {
      waiting.push_back(at + instruction.jump);
    }
    if (instruction.kind == Kind::kMatch) takes_some = false;
    const bool goes_on = instruction.kind != Kind::kCharacter && instruction.kind != Kind::kJump &&
                         instruction.kind != Kind::kMatch && !(is_run && instruction.least > 0);
    if (goes_on) waiting.push_back(at + 1);
  }
  return takes_some;
}

// Lets a split be passed over where the character that comes next is none that may follow it.
void RegexProgram::add_guard(std::size_t split) {
  CharacterSet guard;
  bool is_sure = true;
  const auto add = [&](const CharacterSet& set) { is_sure = guard.unite(set) && is_sure; };
  const bool takes_some = for_each_beginning(split + 1, add);
  instructions_[split].is_guarded = takes_some && is_sure && sets_.size() < kMostSets;
  if (!instructions_[split].is_guarded) return;
  instructions_[split].set = static_cast<std::uint16_t>(sets_.size());
  sets_.push_back(std::move(guard));
}

std::size_t RegexProgram::match_from(std::size_t start, std::string_view text, std::size_t at,
                                     Memos& memos) const {
  Attempt attempt(text, at);
  std::size_t here = start;
  while (instructions_[here].kind != Kind::kMatch) {
    const Instruction& instruction = instructions_[here];
    const CharacterSet& set = sets_[instruction.set];
    const std::size_t next = here + 1;
    bool goes_on = true;
    switch (instruction.kind) {
      case Kind::kCharacter:
        goes_on = attempt.take(set);
        break;
      case Kind::kRun:
        if (instruction.most != Instruction::kUnlimited) {
          goes_on = attempt.take_limited_run(instruction, set, next);
        } else if (instructions_[next].kind == Kind::kMatch) {
          goes_on = attempt.take_last_run(instruction, set);
        } else {
          goes_on = attempt.take_unlimited_run(instruction, set, next, memos[instruction.memo]);
        }
        break;
      case Kind::kSplit:
        if (instruction.is_guarded && !attempt.is_followed(set)) {
          here += instruction.jump;
          continue;
        }
        attempt.add_split(here + instruction.jump);
        break;
      case Kind::kJump:
        here += instruction.jump;
        continue;
      case Kind::kFollowed:
        goes_on = attempt.is_followed(set);
        break;
      case Kind::kNotFollowed:
        goes_on = !attempt.is_followed(set);
        break;
      case Kind::kLineEnd:
        goes_on = attempt.is_at_line_end();
        break;
      case Kind::kMatch:
        break;
    }
    here = goes_on ? next : attempt.go_back(instructions_, memos, instructions_.size());
    if (here == instructions_.size()) return at;
  }
  return attempt.position();
}

}  // namespace vecsmith
