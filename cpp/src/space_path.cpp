#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "fast_path.hpp"
#include "kernels/kernels.hpp"
#include "scratch_pool.hpp"
#include "space_rules.hpp"
#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"
#include "word_cache.hpp"

// Text in words, for models whose words begin with a mark for the space before them (SentencePiece)
// or simply end at white space.
//
// Texts are packed back to back, a space between, into a window that is scanned for separators;
// what lies between two of them, as raw bytes, is the key of the word cache, whose lines are asked
// for long before they are read. Only what the cache lacks is normalised, cut and given to the
// model. A segment whose ids depend on what is around it (it begins with a mark that composes with
// a space, or its normalised form with a space) is not remembered, and its text goes the plain
// path.

namespace vecsmith {

namespace {

constexpr std::size_t kWindow = 4096;
using Spaces = SpaceRules::Spaces;

// Appends the ids of a word; a model that can may stop once `ids` holds `enough`.
void append_word(const PlainPath::Model& model, std::string_view word, std::size_t enough,
                 IdBuffer& ids) {
  if (const auto* const unigram = std::get_if<Unigram>(&model)) {
    unigram->append(word, ids, enough);
  } else if (const auto* const bpe = std::get_if<Bpe>(&model)) {
    bpe->append(word, ids, enough);
  } else if (const auto* const words = std::get_if<WordLevel>(&model)) {
    words->append(word, ids);
  } else if (const auto* const pieces = std::get_if<WordPiece>(&model)) {
    const auto is_lead = [](char c) { return !is_continuation(c); };
    pieces->append(word, static_cast<std::size_t>(std::ranges::count_if(word, is_lead)), ids);
  }
}

struct Scratch {
  WordCache cache;
  PlainPath::Scratch plain;
  std::string word;  // of one segment, its mark included
  Words words;

  // A stretch of the window that belongs to one text.
  struct Piece {
    std::size_t text;
    std::size_t text_offset;  // where in the text it begins
    std::size_t begin, end;   // in the window
    bool is_last;             // nothing of the text comes after it
  };
  std::vector<Piece> pieces;
  std::size_t used = 0;
  alignas(64) unsigned char window[kWindow + kernels::kScanSlack] = {};
  std::uint64_t triggers[kWindow / 64 + 1] = {};
  std::uint16_t starts[kWindow + 64] = {};
  std::uint16_t ends[kWindow + 64] = {};
  kernels::WordKey keys[kWindow / 2 + 64] = {};
  const void* lines[kWindow / 2 + 64] = {};

  void trim() {
    plain.trim();
    constexpr std::size_t kKept = std::size_t{1} << 20;
    if (word.capacity() > kKept) word = {};
    if (words.bytes.capacity() > kKept) words.bytes = {};
    if (words.ends.capacity() > kKept / 64) words.ends = {};
  }
};

class SpacePath : public FastPath {
 public:
  SpacePath(SpaceRules rules, const std::vector<AddedToken>& tokens, const PlainPath& plain,
            const kernels::Kernels& kernels)
      : rules_(std::move(rules)), inner_(rules_.inner), plain_(plain), kernels_(kernels) {
    watch(tokens);
    classify_bytes();
    if (!rules_.mark.empty()) append_word(plain_.model(), rules_.mark, Truncation::kAll, lone_);
  }

  void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
              std::vector<std::size_t>& ends) const override;

 private:
  class Run;

  void watch(const std::vector<AddedToken>& tokens);
  void classify_bytes();
  bool holds_watched(std::string_view normalized) const {
    return watches_ && std::ranges::any_of(normalized, [&](char c) {
             return watched_[static_cast<unsigned char>(c)];
           });
  }
  bool is_separator(char byte) const {
    const auto b = static_cast<unsigned char>(byte);
    return b < 0x80 && rules_.bytes[b] == SpaceRules::Byte::kSeparator;
  }

  SpaceRules rules_;
  Normalizer inner_;
  const PlainPath& plain_;
  const kernels::Kernels& kernels_;
  kernels::ByteClasses classes_ = {};
  bool always_plain_ = false;
  // Bytes that added tokens begin with in normalised text, marks for spaces before them aside.
  std::array<bool, 256> watched_{};
  bool watches_ = false;  // there are any
  IdBuffer lone_;         // of a mark that is a word
  mutable ScratchPool<Scratch> idle_;
};

void SpacePath::watch(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    if (!token.normalized) continue;
    const std::string normalized = plain_.normalize(token.content);
    std::string_view content = normalized;
    while (!rules_.mark.empty() && content.starts_with(rules_.mark)) {
      content.remove_prefix(rules_.mark.size());
    }
    watches_ = true;
    if (content.empty()) {
      always_plain_ = true;  // it is found among spaces
    } else {
      watched_[static_cast<unsigned char>(content.front())] = true;
    }
  }
}

void SpacePath::classify_bytes() {
  const AddedTokenMatcher& raw = plain_.raw_tokens();
  for (unsigned b = 0; b < 0x80; ++b) {
    const bool is_separator = rules_.bytes[b] == SpaceRules::Byte::kSeparator;
    std::uint8_t of = is_separator ? kernels::kSpaceByte : kernels::kWordByte;
    std::string becomes;
    const char byte = static_cast<char>(b);
    inner_.append({&byte, 1}, becomes);
    const bool may_begin_token = holds_watched(becomes);
    if (rules_.bytes[b] == SpaceRules::Byte::kOdd || may_begin_token ||
        raw.is_first_byte(static_cast<unsigned char>(b))) {
      of |= kernels::kTriggerByte;
    }
    if (may_begin_token) rules_.bytes[b] = SpaceRules::Byte::kOdd;
    always_plain_ |= is_separator && (of & kernels::kTriggerByte) != 0;
    classes_.of[b] = of;
    const auto high = static_cast<std::uint8_t>(1U << (b >> 4));
    if ((of & kernels::kWordByte) != 0) classes_.word_nibbles[b & 15] |= high;
    if ((of & kernels::kTriggerByte) != 0) classes_.trigger_nibbles[b & 15] |= high;
  }
  for (unsigned b = 0x80; b < 0x100; ++b) {
    always_plain_ |= raw.is_first_byte(static_cast<unsigned char>(b));
  }
}

// One call of encode(): fills windows with texts and drains them.
class SpacePath::Run {
 public:
  Run(const SpacePath& path, std::span<const std::string_view> texts, Truncation truncation,
      Scratch& scratch, IdBuffer& ids, std::vector<std::size_t>& ends)
      : t_(path),
        r_(path.rules_),
        texts_(texts),
        s_(scratch),
        ids_(ids),
        text_ids_(truncation, ids, ends, path.plain_.takes_space_before()) {
    s_.pieces.clear();
    s_.used = 0;
  }

  void all() {
    for (std::size_t i = 0; i < texts_.size(); ++i) {
      if (t_.always_plain_) {
        start_over(i);
      } else {
        add(i);
      }
    }
    drain();
  }

 private:
  // Puts a text into the window, draining that as often as it is full.
  void add(std::size_t index) {
    const std::string_view text = texts_[index];
    std::size_t at = 0;
    while (text_ids_.n_finished() <= index) {
      std::size_t take = std::min(kWindow - s_.used - 1, text.size() - at);
      const bool is_last = at + take == text.size();
      if (!is_last) {
        while (take > 0 && !t_.is_separator(text[at + take - 1])) --take;
        if (take == 0 && s_.used > 0) {
          drain();
          continue;
        }
        if (take == 0) {
          at = append_long(index, at);
          continue;
        }
      }
      std::copy_n(text.data() + at, take, reinterpret_cast<char*>(s_.window) + s_.used);
      s_.pieces.push_back({index, at, s_.used, s_.used + take, is_last});
      s_.used += take;
      s_.window[s_.used++] = ' ';
      at += take;
      // Ids of one text must follow each other, so a cut text is drained at once.
      if (!is_last || s_.used >= kWindow - 64) drain();
      if (is_last) return;
    }
  }

  // Appends the ids of a segment that no window holds; returns where it ends.
  std::size_t append_long(std::size_t index, std::size_t at) {
    const std::string_view text = texts_[index];
    std::size_t end = at;
    while (end < text.size() && !t_.is_separator(text[end])) ++end;
    const auto is_plain = [&](const char& c) {
      const auto b = static_cast<unsigned char>(c);
      return b < 0x80 && (t_.classes_.of[b] & kernels::kTriggerByte) != 0 &&
             needs_plain_path(text, &c);
    };
    const std::string_view segment = text.substr(at, end - at);
    if (at == 0) begin_text();
    if (std::ranges::any_of(segment, is_plain)) {
      start_over(index);
      return end;
    }
    begin_segment();
    if (!append_segment(segment)) {
      start_over(index);
    } else if (end == text.size() || ids_.size() >= enough_) {
      finish_text();
    }
    return end;
  }

  // Cuts the window into segments and appends their ids, text by text.
  void drain() {
    if (s_.used == 0) return;
    bool any_trigger = false;
    const std::size_t n = t_.kernels_.scan(s_.window, s_.used, t_.classes_, s_.starts, s_.ends,
                                           s_.triggers, &any_trigger);
    const kernels::WordProbes probes{s_.keys, s_.lines, s_.starts, s_.ends, s_.cache.ring()};
    t_.kernels_.probe_words(s_.window, s_.cache.lines(), n, probes);
    for (std::size_t i = 0; i < n; ++i) {
      if (s_.ends[i] - s_.starts[i] > static_cast<int>(WordCache::kShort)) {
        s_.cache.prefetch_long(segment(i));
      }
    }
    std::size_t last = 0;
    for (const Scratch::Piece& piece : s_.pieces) {
      const std::size_t first = last;
      while (last < n && s_.starts[last] < piece.end) ++last;
      if (piece.text_offset == 0) begin_text();
      if ((any_trigger && any_needs_plain_path(piece)) || !resolve(probes, first, last, piece)) {
        start_over(piece.text);
      } else if (piece.is_last || ids_.size() >= enough_) {
        finish_text();
      }
    }
    s_.pieces.clear();
    s_.used = 0;
  }

  void begin_text() {
    enough_ = text_ids_.enough();
    gap_ = 0;
    is_first_ = true;
  }

  void finish_text() {
    if (ids_.size() < enough_) append_end();
    text_ids_.finish();
  }

  void start_over(std::size_t index) {
    text_ids_.restart();
    t_.plain_.append(texts_[index], s_.plain, ids_);
    text_ids_.finish();
  }

  // Appends the ids of a piece's segments [first, n); false where its text needs the plain path.
  bool resolve(const kernels::WordProbes& probes, std::size_t first, std::size_t n,
               const Scratch::Piece& piece) {
    std::size_t done = piece.begin;
    for (std::size_t i = first; i < n;) {
      gap_ += s_.starts[i] - done;
      begin_segment();
      const std::size_t last = is_bare_ ? i + 1 : end_of_even_gaps(i, n);
      if (!(is_bare_ ? append_segment(segment(i)) : append_segments(probes, i, last))) return false;
      done = s_.ends[last - 1];
      i = last;
    }
    gap_ += piece.end - done;
    return true;
  }

  // Where the separators before a segment are worth something of their own, after segment `i`.
  std::size_t end_of_even_gaps(std::size_t i, std::size_t n) const {
    if (r_.spaces != Spaces::kCounted && r_.spaces != Spaces::kJoined) return n;
    ++i;
    while (i < n && s_.starts[i] == s_.ends[i - 1] + 1) ++i;
    return i;
  }

  bool append_segments(const kernels::WordProbes& probes, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      ids_.reserve_more(kernels::kRingSlack * (last - i));
      std::uint32_t* out = ids_.data() + ids_.size();
      const std::size_t found = t_.kernels_.find_words(probes, i, last, &out);
      ids_.set_size(static_cast<std::size_t>(out - ids_.data()));
      if (found > first) is_at_start_ = false;
      i = found;
      if (i < last && !append_missing(segment(i))) return false;
      is_at_start_ = false;
    }
    return true;
  }

  std::string_view segment(std::size_t i) const {
    const char* const window = reinterpret_cast<const char*>(s_.window);
    return {window + s_.starts[i], std::size_t{s_.ends[i]} - s_.starts[i]};
  }

  // Appends the ids of a segment that the cache lacks or has not been asked for, and remembers
  // them.
  bool append_missing(std::string_view segment) {
    if (s_.cache.append(segment, ids_)) return true;
    const std::size_t before = ids_.size();
    if (!append_segment(segment)) return false;
    // Of a segment that was cut short not all ids are known.
    if (is_kept_ && ids_.size() < enough_) {
      s_.cache.insert(segment.data(), segment.size(), ids_.slice(before, ids_.size()));
    }
    return true;
  }

  // Counts the separators before a segment, and sees whether its first word has the mark.
  void begin_segment() {
    const bool has_space = gap_ > 0 && !(is_first_ && r_.strips_left);
    n_marks_ = marks_before_here();
    is_bare_ = is_first_ && !has_space && !r_.marks_first && r_.spaces != Spaces::kDropped;
    if (r_.spaces == Spaces::kJoined) is_bare_ = n_marks_ != 1;
    if (r_.spaces == Spaces::kCounted && has_space) append_lone(gap_ - 1);
    is_at_start_ = is_first_ && !has_space;
    is_first_ = false;
    gap_ = 0;
  }

  // What the separators at the end of a text, or of nothing but separators, are worth.
  void append_end() {
    if (r_.spaces == Spaces::kDropped || gap_ == 0 || r_.strips_right) return;
    if (is_first_ && r_.strips_left) return;
    if (r_.spaces == Spaces::kJoined) {
      put_marks(marks_before_here());
      return append_word(t_.plain_.model(), s_.word, enough_, ids_);
    }
    append_lone(r_.spaces == Spaces::kOne ? 1 : gap_);
  }

  // Where spaces are joined to the word behind them.
  std::size_t marks_before_here() const {
    return gap_ + (is_first_ && r_.marks_first && (gap_ == 0 || r_.adds_mark) ? 1 : 0);
  }

  void put_marks(std::size_t n) {
    s_.word.clear();
    for (; n > 0; --n) s_.word += r_.mark;
  }

  void append_lone(std::size_t n) {
    for (; n > 0 && ids_.size() < enough_; --n) ids_.append(t_.lone_.slice(0, t_.lone_.size()));
  }

  // Appends the ids of a segment, however long; false where its text needs the plain path.
  // `is_kept_` tells whether it has them wherever it stands.
  bool append_segment(std::string_view segment) {
    if (r_.spaces == Spaces::kJoined) return append_joined(segment);
    s_.word = r_.mark;
    t_.inner_.append(segment, s_.word);
    std::string_view inner = std::string_view(s_.word).substr(r_.mark.size());
    if (!r_.stands_alone(segment, inner, t_.inner_)) return false;
    if (t_.holds_watched(inner)) return false;
    is_kept_ = !is_bare_;
    if (r_.spaces == Spaces::kDropped) {
      if (r_.needs_splitter || !r_.is_one_word(inner)) {
        append_words(inner);
      } else if (!inner.empty()) {
        append_word(t_.plain_.model(), s_.word, enough_, ids_);
      }
      return true;
    }
    if (r_.spaces == Spaces::kOne) {
      // Spaces at its ends are one with those around it, but for the end of a text that keeps them.
      const std::size_t size = inner.size();
      while (inner.starts_with(' ')) inner.remove_prefix(1);
      while (inner.ends_with(' ')) inner.remove_suffix(1);
      if (inner.size() < size) {
        if (!r_.strips_right || is_bare_) return false;
        if (inner.empty()) return true;
        s_.word = r_.mark + std::string(inner);
        inner = std::string_view(s_.word).substr(r_.mark.size());
      }
    }
    if (!r_.has_clean_ends(inner)) {
      // Where every space counts and none is stripped it has words of its own all the same.
      if (r_.spaces == Spaces::kOne || r_.strips_left || r_.strips_right) return false;
      is_kept_ = false;
      append_words(is_at_start_ ? inner : s_.word);
    } else if (is_bare_) {
      append_words(inner);
    } else if (r_.is_one_word(inner)) {
      append_word(t_.plain_.model(), s_.word, enough_, ids_);
    } else {
      append_words(s_.word);
    }
    return true;
  }

  // The same where its word has the marks of all spaces before it, and is cut nowhere.
  bool append_joined(std::string_view segment) {
    put_marks(n_marks_);
    const std::size_t begin = s_.word.size();
    t_.inner_.append(segment, s_.word);
    const std::string_view inner = std::string_view(s_.word).substr(begin);
    if (!r_.stands_alone(segment, inner, t_.inner_)) return false;
    if (t_.holds_watched(inner)) return false;
    const bool has_marks = inner.starts_with(r_.mark) || inner.ends_with(r_.mark);
    if (inner.empty() || has_marks || inner.find(' ') != std::string_view::npos) return false;
    is_kept_ = !is_bare_;
    append_word(t_.plain_.model(), s_.word, enough_, ids_);
    return true;
  }

  // Cuts what may be several words.
  void append_words(std::string_view text) {
    t_.plain_.splitter().split(text, is_at_start_, s_.words);
    for (std::size_t i = 0; i < s_.words.size() && ids_.size() < enough_; ++i) {
      append_word(t_.plain_.model(), s_.words[i], enough_, ids_);
    }
  }

  bool any_needs_plain_path(const Scratch::Piece& piece) const {
    const std::string_view text = texts_[piece.text];
    for (std::size_t word = piece.begin / 64; word * 64 < piece.end; ++word) {
      for (std::uint64_t bits = s_.triggers[word]; bits != 0; bits &= bits - 1) {
        const std::size_t at = word * 64 + static_cast<std::size_t>(__builtin_ctzll(bits));
        if (at < piece.begin || at >= piece.end) continue;
        if (needs_plain_path(text, text.data() + piece.text_offset + (at - piece.begin))) {
          return true;
        }
      }
    }
    return false;
  }

  // Whether a byte that is a trigger is an odd one, or an added token begins there.
  bool needs_plain_path(std::string_view text, const char* here) const {
    return r_.bytes[static_cast<unsigned char>(*here)] == SpaceRules::Byte::kOdd ||
           t_.plain_.raw_tokens().begins_at(here, text.data() + text.size());
  }

  const SpacePath& t_;
  const SpaceRules& r_;
  std::span<const std::string_view> texts_;
  Scratch& s_;
  IdBuffer& ids_;
  TextIds text_ids_;
  std::size_t enough_ = 0;
  std::size_t gap_ = 0;      // separators since the last segment
  std::size_t n_marks_ = 0;  // that the current segment begins with, where spaces are joined
  bool is_first_ = true;     // no segment of this text has come yet
  bool is_at_start_ = true;  // the current segment begins its text
  bool is_bare_ = false;     // ... and has no mark, or not just one
  bool is_kept_ = false;     // the ids of the current segment may be remembered
};

void SpacePath::encode(std::span<const std::string_view> texts, Truncation truncation,
                       IdBuffer& ids, std::vector<std::size_t>& ends) const {
  const auto scratch = idle_.borrow([] { return std::make_unique<Scratch>(); });
  Run(*this, texts, truncation, *scratch, ids, ends).all();
}

}  // namespace

std::unique_ptr<FastPath> make_space_path(const TokenizerSettings& settings, const PlainPath& plain,
                                          const kernels::Kernels& kernels) {
  auto rules = space_rules_of(settings);
  if (!rules) return nullptr;
  return std::make_unique<SpacePath>(std::move(*rules), settings.added_tokens, plain, kernels);
}

}  // namespace vecsmith
