#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "bert_characters.hpp"
#include "fast_path.hpp"
#include "kernels/kernels.hpp"
#include "scratch_pool.hpp"
#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"
#include "word_cache.hpp"

// How text becomes ids, and why so.
//
// Fast path. Texts are packed back to back, a space between, into a window that stays in the first
// level cache. One scan cuts the window into segments at ASCII white space and punctuation; a
// segment is the key of a word cache, and its line is prefetched long before it is read. Only
// segments that the cache lacks are normalised and matched against the vocabulary. A raw segment
// is a valid key because every ASCII delimiter is a starter: what lies between two of them
// normalises independently of its neighbours.
//
// Plain path. A text that the scan cannot cut (bytes that clean_text deletes join their neighbours;
// an added token is found before words are) goes through the steps one after another, as Hugging
// Face does them. The fast path hands a text over when it meets such a byte.
//
// Segments that hold other scripts take the same steps as the plain path, segment by segment.

namespace vecsmith {

namespace {

constexpr std::size_t kWindow = 2048;
// Texts without ASCII delimiters (Chinese, Japanese, Thai) are cut where it changes nothing.
constexpr std::size_t kLongSegment = 1024;

class Scratch {
 public:
  WordCache cache;
  PlainPath::Scratch plain;

  // A stretch of the window that belongs to one text.
  struct Piece {
    std::size_t text;
    std::size_t text_offset;  // where in the text it begins
    std::size_t end;          // offset in the window, its closing space included
    bool is_last;             // nothing of the text comes after it
  };
  std::vector<Piece> pieces;
  std::size_t used = 0;
  alignas(64) unsigned char window[kWindow + kernels::kScanSlack] = {};
  std::uint64_t triggers[kWindow / 64 + 1] = {};
  std::uint16_t starts[kWindow + 64] = {};
  std::uint16_t ends[kWindow + 64] = {};
  kernels::WordKey keys[kWindow] = {};
  const void* lines[kWindow] = {};
  char word[BertCharacters::room_for(kLongSegment + 4)] = {};

  void trim() { plain.trim(); }
};

class WordPath : public FastPath {
 public:
  WordPath(const TokenizerSettings& settings, normalizers::Bert normalizer, const PlainPath& plain,
           const kernels::Kernels& kernels);

  ~WordPath() override { delete characters_.load(); }
  WordPath(const WordPath&) = delete;
  WordPath& operator=(const WordPath&) = delete;

  void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
              std::vector<std::size_t>& ends) const override;

 private:
  class Run;

  void classify_bytes();
  const BertCharacters& characters() const;
  std::unique_ptr<Scratch> make_scratch() const;
  void append_words(std::string_view normalized, IdBuffer& ids) const;
  void append_text(std::string_view text, Scratch& scratch, IdBuffer& ids) const;
  void append_segment(std::string_view segment, std::size_t enough, Scratch& scratch,
                      IdBuffer& ids) const;

  const PlainPath& plain_;
  const WordPiece& wordpiece_;
  BertNormalizer normalizer_;
  bool always_plain_ = false;
  std::vector<std::pair<std::string, std::uint32_t>> seeds_;  // words every cache begins with
  kernels::ByteClasses classes_ = {};
  const kernels::Kernels& kernels_;
  mutable std::atomic<const BertCharacters*> characters_{nullptr};
  mutable ScratchPool<Scratch> idle_;
};

WordPath::WordPath(const TokenizerSettings& settings, normalizers::Bert normalizer,
                   const PlainPath& plain, const kernels::Kernels& kernels)
    : plain_(plain),
      wordpiece_(std::get<WordPiece>(plain.model())),
      normalizer_(normalizer),
      kernels_(kernels) {
  classify_bytes();
  // Whole words of the vocabulary are known before the first text is seen.
  const auto& wordpiece = std::get<WordPieceSettings>(settings.model);
  for (std::size_t i = 0; i < wordpiece.tokens.size(); ++i) {
    const std::string& token = wordpiece.tokens[i];
    const bool is_word =
        !token.empty() && token.size() <= WordCache::kShort &&
        token.size() <= wordpiece.max_input_chars_per_word &&
        std::ranges::all_of(token, [&](char c) {
          const auto b = static_cast<unsigned char>(c);
          const bool upper = b >= 'A' && b <= 'Z';
          return b < 0x80 && classes_.of[b] == kernels::kWordByte && !(upper && classes_.lowercase);
        });
    if (is_word) seeds_.emplace_back(token, wordpiece.ids[i]);
  }
}

void WordPath::classify_bytes() {
  kernels::ByteClasses& classes = classes_;
  classes.lowercase = normalizer_.settings().lowercase;
  const bool clean = normalizer_.settings().clean_text;
  // Tokens that are looked for in the normalised text need that text as a whole.
  always_plain_ = !plain_.normalized_tokens().empty();
  for (unsigned b = 0; b < 0x80; ++b) {
    const std::uint8_t bits = flags(b);
    const bool is_space = (bits & (clean ? kCleanSpace | kWhitespace : kWhitespace)) != 0;
    std::uint8_t of = kernels::kWordByte;
    if (clean && (bits & kControl) != 0) {
      of = kernels::kWordByte | kernels::kTriggerByte;
    } else if (is_space) {
      of = kernels::kSpaceByte;
    } else if ((bits & kPunctuation) != 0) {
      of = kernels::kPunctuationByte;
    } else if (b < 0x20 || b == 0x7F) {
      of = kernels::kWordByte | kernels::kTriggerByte;  // NUL cannot be part of a key
    }
    if (plain_.raw_tokens().is_first_byte(static_cast<unsigned char>(b))) {
      if (of == kernels::kPunctuationByte) {
        of |= kernels::kTriggerByte;
      } else {
        always_plain_ = true;  // it would hand nearly every text over
      }
    }
    classes.of[b] = of;
    const auto high = static_cast<std::uint8_t>(1U << (b >> 4));
    if ((of & kernels::kWordByte) != 0) classes.word_nibbles[b & 15] |= high;
    if ((of & kernels::kPunctuationByte) != 0) classes.punctuation_nibbles[b & 15] |= high;
    if ((of & kernels::kTriggerByte) != 0) classes.trigger_nibbles[b & 15] |= high;
  }
  for (unsigned b = 0x80; b < 0x100; ++b) {
    if (plain_.raw_tokens().is_first_byte(static_cast<unsigned char>(b))) always_plain_ = true;
  }
}

// Made when the first text asks: English alone never does. Where several threads ask at once each
// makes one and all but one are thrown away; a lock could be held for ever in a forked child.
const BertCharacters& WordPath::characters() const {
  const BertCharacters* found = characters_.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  auto made = std::make_unique<BertCharacters>(normalizer_, wordpiece_);
  if (characters_.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) {
    return *made.release();
  }
  return *found;
}

std::unique_ptr<Scratch> WordPath::make_scratch() const {
  auto scratch = std::make_unique<Scratch>();
  for (const auto& [word, id] : seeds_) {
    scratch->cache.insert(word.data(), word.size(), {&id, 1});
  }
  return scratch;
}

// Cuts normalised text into words and marks (BertPreTokenizer) and appends their ids.
void WordPath::append_words(std::string_view normalized, IdBuffer& ids) const {
  const char* p = normalized.data();
  const char* const end = p + normalized.size();
  const char* word = p;
  std::size_t n_chars = 0;
  while (p != end) {
    const char* const here = p;
    const std::uint8_t bits = flags(decode_utf8(p, end));
    if ((bits & (kWhitespace | kPunctuation)) == 0) {
      ++n_chars;
      continue;
    }
    if (n_chars > 0) wordpiece_.append({word, here}, n_chars, ids);
    if ((bits & kWhitespace) == 0) wordpiece_.append({here, p}, 1, ids);
    word = p;
    n_chars = 0;
  }
  if (n_chars > 0) wordpiece_.append({word, end}, n_chars, ids);
}

void WordPath::append_text(std::string_view text, Scratch& scratch, IdBuffer& ids) const {
  scratch.plain.normalized.clear();
  normalizer_.append(text, scratch.plain.normalized);
  append_words(scratch.plain.normalized, ids);
}

// Ids of what lies between two ASCII delimiters, whatever its script and length; may stop once
// `ids` holds `enough`.
void WordPath::append_segment(std::string_view segment, std::size_t enough, Scratch& scratch,
                              IdBuffer& ids) const {
  // A space or an ideograph ends every word and every run of marks, unless clean_text deletes it.
  const unsigned cjk = normalizer_.settings().handle_chinese_chars ? unsigned{kCjk} : 0U;
  const unsigned cuts = kWhitespace | cjk;
  const auto is_cut = [&](char32_t c) { return has_any(c, cuts) && !has_any(c, kControl); };
  while (segment.size() > kLongSegment && ids.size() < enough) {
    const char* p = segment.data() + kLongSegment;
    const char* const end = segment.data() + segment.size();
    while (p != end && is_continuation(*p)) ++p;
    while (p != end) {
      const char* next = p;
      if (is_cut(decode_utf8(next, end))) break;
      p = next;
    }
    const auto n = static_cast<std::size_t>(p - segment.data());
    append_text(segment.substr(0, n), scratch, ids);
    segment.remove_prefix(n);
  }
  if (ids.size() < enough) append_text(segment, scratch, ids);
}

// One call of encode(): fills windows with texts and drains them.
class WordPath::Run {
 public:
  Run(const WordPath& path, std::span<const std::string_view> texts, Truncation truncation,
      Scratch& scratch, IdBuffer& ids, std::vector<std::size_t>& ends)
      : t_(path), texts_(texts), s_(scratch), ids_(ids), text_ids_(truncation, ids, ends) {
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
        while (take > 0 && !is_delimiter(text[at + take - 1])) --take;
        if (take == 0 && s_.used > 0) {
          drain();
          continue;
        }
        if (take == 0) {
          at = append_long_segment(index, at);
          continue;
        }
      }
      if (take > 0) std::memcpy(s_.window + s_.used, text.data() + at, take);
      s_.used += take;
      s_.window[s_.used++] = ' ';
      s_.pieces.push_back({index, at, s_.used, is_last});
      at += take;
      // Ids of one text must follow each other, so a cut text is drained at once.
      if (!is_last || s_.used >= kWindow - 64) drain();
      if (is_last) return;
    }
  }

  // Appends the ids of a segment that is longer than the window; returns where it ends.
  std::size_t append_long_segment(std::size_t index, std::size_t at) {
    const std::string_view text = texts_[index];
    std::size_t end = at;
    while (end < text.size() && !is_delimiter(text[end])) ++end;
    const std::string_view segment = text.substr(at, end - at);
    if (std::ranges::any_of(segment,
                            [&](char c) { return is_odd(static_cast<unsigned char>(c)); })) {
      start_over(index);
      return end;
    }
    const std::size_t before = ids_.size();
    if (!append_characters(segment, text_ids_.enough())) {
      ids_.set_size(before);
      t_.append_segment(segment, text_ids_.enough(), s_, ids_);
    }
    if (end == text.size() || ids_.size() >= text_ids_.enough()) text_ids_.finish();
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
    std::size_t segment = 0;
    std::size_t begin = 0;
    for (const Scratch::Piece& piece : s_.pieces) {
      const std::size_t first = segment;
      while (segment < n && s_.starts[segment] < piece.end) ++segment;
      if (any_trigger && needs_plain_path(piece, begin)) {
        start_over(piece.text);
      } else {
        resolve(probes, first, segment);
        if (piece.is_last || ids_.size() >= text_ids_.enough()) text_ids_.finish();
      }
      begin = piece.end;
    }
    s_.pieces.clear();
    s_.used = 0;
  }

  // Appends the ids of segments [first, last) of the window.
  void resolve(const kernels::WordProbes& probes, std::size_t first, std::size_t last) {
    look_up_words(t_.kernels_, s_.window, probes, first, last, ids_,
                  [this](std::string_view word) { append_missing(word); });
  }

  // Appends the ids of a segment that the cache lacks or has not been asked for, and remembers
  // them.
  void append_missing(std::string_view segment) {
    const std::size_t before = ids_.size();
    // Long runs of ideographs are read faster than they are looked up, and seldom come again.
    if (segment.size() > WordCache::kShort && begins_with_ideograph(segment)) {
      if (append_characters(segment, Truncation::kAll)) return;
      ids_.set_size(before);
    }
    if (s_.cache.append(segment, ids_)) return;
    if (is_ascii(segment)) {
      t_.wordpiece_.append(segment, segment.size(), ids_);  // the scan has lower-cased it
    } else if (!append_characters(segment, Truncation::kAll)) {
      ids_.set_size(before);
      t_.append_segment(segment, Truncation::kAll, s_, ids_);
    }
    s_.cache.insert(segment.data(), segment.size(), ids_.slice(before, ids_.size()));
  }

  // Appends the ids of a segment character by character: what stands alone is known at once, runs
  // of letters between go back to the cache. False where a character needs its neighbours; may stop
  // once there are `enough` ids. Of a word without end only as much is kept as could be known.
  bool append_characters(std::string_view segment, std::size_t enough) {
    const BertCharacters& characters = t_.characters();
    BertCharacters::Letters word;
    const char* const end = segment.data() + segment.size();
    const char* run = segment.data();
    for (const char* p = run; p != end;) {
      if (p == run) {
        p = append_ideographs(p, end, enough);
        run = p;
        if (ids_.size() >= enough) return true;
        if (p == end) break;
      }
      const char* const here = p;
      const char32_t c = decode_utf8(p, end);
      const BertCharacters::Kind kind = characters.add(c, s_.word, word);
      if (kind <= BertCharacters::kGone) {
        if (word.n_bytes <= kLongSegment) continue;
        if (word.n_chars <= t_.wordpiece_.max_chars()) return false;
        word.n_bytes = 0;  // it is unknown already, whatever follows
        continue;
      }
      if (kind == BertCharacters::kOdd) return false;
      append_run({run, here}, word);
      if (kind == BertCharacters::kAlone) append_alone(c, {here, p});
      word = {};
      run = p;
      if (ids_.size() >= enough) return true;
    }
    if (run == segment.data()) {
      append_word(word);  // the cache has just been asked
    } else {
      append_run({run, end}, word);
    }
    return true;
  }

  // Code point of a character of three bytes; of anything else a number that is no ideograph.
  static char32_t three_bytes(const char* p) {
    const auto byte = [&](std::size_t i) {
      return std::uint32_t{static_cast<unsigned char>(p[i])};
    };
    const std::uint32_t odd =
        ((byte(0) & 0xF0U) ^ 0xE0U) | ((byte(1) & 0xC0U) ^ 0x80U) | ((byte(2) & 0xC0U) ^ 0x80U);
    return odd != 0 ? 0 : (byte(0) & 0x0FU) << 12U | (byte(1) & 0x3FU) << 6U | (byte(2) & 0x3FU);
  }

  bool begins_with_ideograph(std::string_view segment) const {
    const char32_t first = segment.size() < 3 ? 0 : three_bytes(segment.data());
    return first != 0 && t_.characters().id_of(first) != BertCharacters::kNoId;
  }

  // Appends the ids of ideographs, and of marks among them, up to a character of another kind, or
  // until there are `enough`; returns where it ends.
  const char* append_ideographs(const char* p, const char* end, std::size_t enough) {
    const BertCharacters& characters = t_.characters();
    const std::size_t room = enough > ids_.size() ? enough - ids_.size() : 0;
    std::size_t n = std::min(static_cast<std::size_t>(end - p) / 3, room);
    ids_.reserve_more(n);
    std::uint32_t* const first = ids_.data() + ids_.size();
    std::uint32_t* out = first;
    for (; n > 0; --n, p += 3, ++out) {
      *out = characters.id_of(three_bytes(p));
      if (*out == BertCharacters::kNoId) break;
    }
    ids_.set_size(ids_.size() + static_cast<std::size_t>(out - first));
    return p;
  }

  void append_alone(char32_t c, std::string_view bytes) {
    const std::uint32_t id = t_.characters().id_of(c);
    if (id != BertCharacters::kNoId) {
      ids_.push_back(id);
    } else {
      t_.append_text(bytes, s_, ids_);
    }
  }

  // Appends the ids of a run of letters, of which s_.word holds the normalised ones.
  void append_run(std::string_view run, BertCharacters::Letters word) {
    if (run.empty() || s_.cache.append(run, ids_)) return;
    const std::size_t before = ids_.size();
    append_word(word);
    s_.cache.insert(run.data(), run.size(), ids_.slice(before, ids_.size()));
  }

  void append_word(BertCharacters::Letters word) {
    if (word.n_chars > 0) t_.wordpiece_.append({s_.word, word.n_bytes}, word.n_chars, ids_);
  }

  // Whether a piece, from offset `begin` of the window, holds an odd byte or an added token.
  bool needs_plain_path(const Scratch::Piece& piece, std::size_t begin) const {
    const std::string_view text = texts_[piece.text];
    for (std::size_t word = begin / 64; word * 64 < piece.end; ++word) {
      for (std::uint64_t bits = s_.triggers[word]; bits != 0; bits &= bits - 1) {
        const std::size_t at = word * 64 + static_cast<std::size_t>(__builtin_ctzll(bits));
        if (at < begin || at >= piece.end) continue;
        // The window is lower-cased and may end inside a token: the text itself is asked.
        const char* const here = text.data() + piece.text_offset + (at - begin);
        if (is_odd(s_.window[at]) ||
            t_.plain_.raw_tokens().begins_at(here, text.data() + text.size())) {
          return true;
        }
      }
    }
    return false;
  }

  void start_over(std::size_t index) {
    text_ids_.restart();
    t_.plain_.append(texts_[index], s_.plain, ids_);
    text_ids_.finish();
  }

  bool is_delimiter(char byte) const {
    const auto b = static_cast<unsigned char>(byte);
    return b < 0x80 && (t_.classes_.of[b] & kernels::kWordByte) == 0;
  }

  // A byte that joins or parts words in a way the scan does not know.
  bool is_odd(unsigned char b) const {
    constexpr unsigned kOdd = kernels::kWordByte | kernels::kTriggerByte;
    return b < 0x80 && (t_.classes_.of[b] & kOdd) == kOdd;
  }

  const WordPath& t_;
  std::span<const std::string_view> texts_;
  Scratch& s_;
  IdBuffer& ids_;
  TextIds text_ids_;
};

void WordPath::encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
                      std::vector<std::size_t>& ends) const {
  const auto scratch = idle_.borrow([&] { return make_scratch(); });
  Run(*this, texts, truncation, *scratch, ids, ends).all();
}

}  // namespace

std::unique_ptr<FastPath> make_word_path(const TokenizerSettings& settings, const PlainPath& plain,
                                         const kernels::Kernels& kernels) {
  const bool splits_words = settings.splitter.size() == 1 &&
                            std::holds_alternative<splitters::Bert>(settings.splitter[0]);
  if (!splits_words || !std::holds_alternative<WordPieceSettings>(settings.model)) return nullptr;
  normalizers::Bert normalizer{false, false, false, false};  // leaves texts as they are
  if (settings.normalizer.size() > 1) return nullptr;
  if (settings.normalizer.size() == 1) {
    const auto* const bert = std::get_if<normalizers::Bert>(&settings.normalizer[0]);
    if (bert == nullptr) return nullptr;
    normalizer = *bert;
  }
  return std::make_unique<WordPath>(settings, normalizer, plain, kernels);
}

}  // namespace vecsmith
