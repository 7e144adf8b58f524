#include "vecsmith/tokenizer.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.hpp"
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
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;
constexpr std::size_t kKeptPieces = std::size_t{1} << 14;

std::vector<AddedToken> tokens_where(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> found;
  std::ranges::copy_if(tokens, std::back_inserter(found),
                       [=](const AddedToken& t) { return t.normalized == normalized; });
  return found;
}

std::vector<std::string> contents_of(const std::vector<AddedToken>& tokens,
                                     const Normalizer* normalizer) {
  std::vector<std::string> contents;
  for (const AddedToken& token : tokens) {
    if (normalizer == nullptr) {
      contents.push_back(token.content);
    } else {
      normalizer->append(token.content, contents.emplace_back());
    }
  }
  return contents;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

}  // namespace

class Tokenizer::Scratch {
 public:
  WordCache cache;
  std::string normalized;
  std::vector<AddedTokenMatcher::Piece> raw_pieces, normalized_pieces;

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
  WordCache::Key keys[kWindow] = {};
  std::uint32_t lines[kWindow] = {};
};

Tokenizer::Tokenizer(const TokenizerSettings& settings, CpuLevel level)
    : normalizer_(settings.normalizer),
      wordpiece_(settings.wordpiece),
      raw_tokens_(tokens_where(settings.added_tokens, false),
                  contents_of(tokens_where(settings.added_tokens, false), nullptr)),
      normalized_tokens_(tokens_where(settings.added_tokens, true),
                         contents_of(tokens_where(settings.added_tokens, true), &normalizer_)),
      max_id_(wordpiece_.max_id()),
      classes_(std::make_unique<kernels::ByteClasses>()),
      kernels_(kernels::kernels_of(level)) {
  for (const AddedToken& token : settings.added_tokens) max_id_ = std::max(max_id_, token.id);
  classify_bytes();
  // Whole words of the vocabulary are known before the first text is seen.
  for (std::size_t i = 0; i < settings.wordpiece.tokens.size(); ++i) {
    const std::string& token = settings.wordpiece.tokens[i];
    const bool is_word = !token.empty() && token.size() <= WordCache::kShort &&
                         token.size() <= settings.wordpiece.max_input_chars_per_word &&
                         std::ranges::all_of(token, [&](char c) {
                           const auto b = static_cast<unsigned char>(c);
                           const bool upper = b >= 'A' && b <= 'Z';
                           return b < 0x80 && classes_->of[b] == kernels::kWordByte &&
                                  !(upper && classes_->lowercase);
                         });
    if (is_word) seeds_.push_back({token, settings.wordpiece.ids[i]});
  }
}

Tokenizer::~Tokenizer() = default;

void Tokenizer::classify_bytes() {
  kernels::ByteClasses& classes = *classes_;
  classes = {};
  classes.lowercase = normalizer_.settings().lowercase;
  const bool clean = normalizer_.settings().clean_text;
  // Tokens that are looked for in the normalised text need that text as a whole.
  always_plain_ = !normalized_tokens_.empty();
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
    if (raw_tokens_.is_first_byte(static_cast<unsigned char>(b))) {
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
    if (raw_tokens_.is_first_byte(static_cast<unsigned char>(b))) always_plain_ = true;
  }
}

std::unique_ptr<Tokenizer::Scratch> Tokenizer::make_scratch() const {
  auto scratch = std::make_unique<Scratch>();
  for (const auto& [word, id] : seeds_) {
    scratch->cache.insert(reinterpret_cast<const unsigned char*>(word.data()), word.size(),
                          {&id, 1});
  }
  return scratch;
}

std::string Tokenizer::normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  normalizer_.append(text, out);
  return out;
}

// Working memory borrowed from the idle pieces. A lock that cannot be had at once is not waited
// for: after a fork its holder may not exist, and new memory costs less than a millisecond.
class Tokenizer::Lease {
 public:
  explicit Lease(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    const std::unique_lock lock(tokenizer_.lock_, std::try_to_lock);
    if (lock && !tokenizer_.idle_.empty()) {
      scratch_ = std::move(tokenizer_.idle_.back());
      tokenizer_.idle_.pop_back();
    }
    if (!scratch_) scratch_ = tokenizer_.make_scratch();
  }
  ~Lease() {
    // One very long text must not hold memory for ever.
    if (scratch_->normalized.capacity() > kKeptBytes) scratch_->normalized = {};
    if (scratch_->raw_pieces.capacity() > kKeptPieces) scratch_->raw_pieces = {};
    if (scratch_->normalized_pieces.capacity() > kKeptPieces) scratch_->normalized_pieces = {};
    const std::unique_lock lock(tokenizer_.lock_, std::try_to_lock);
    if (lock) tokenizer_.idle_.push_back(std::move(scratch_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Scratch& operator*() { return *scratch_; }

 private:
  const Tokenizer& tokenizer_;
  std::unique_ptr<Scratch> scratch_;
};

// Cuts normalised text into words and marks (BertPreTokenizer) and appends their ids.
void Tokenizer::append_words(std::string_view normalized, IdBuffer& ids) const {
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

void Tokenizer::append_text(std::string_view text, Scratch& scratch, IdBuffer& ids) const {
  scratch.normalized.clear();
  normalizer_.append(text, scratch.normalized);
  append_words(scratch.normalized, ids);
}

void Tokenizer::append_plain(std::string_view text, Scratch& scratch, IdBuffer& ids) const {
  raw_tokens_.split(text, scratch.raw_pieces);
  for (const AddedTokenMatcher::Piece& raw : scratch.raw_pieces) {
    if (raw.id != AddedTokenMatcher::Piece::kText) {
      ids.push_back(raw.id);
      continue;
    }
    if (normalized_tokens_.empty()) {
      append_text(raw.text, scratch, ids);
      continue;
    }
    scratch.normalized.clear();
    normalizer_.append(raw.text, scratch.normalized);
    normalized_tokens_.split(scratch.normalized, scratch.normalized_pieces);
    for (const AddedTokenMatcher::Piece& piece : scratch.normalized_pieces) {
      if (piece.id != AddedTokenMatcher::Piece::kText) {
        ids.push_back(piece.id);
      } else {
        append_words(piece.text, ids);
      }
    }
  }
}

// Ids of what lies between two ASCII delimiters, whatever its script and length; may stop once
// `ids` holds `enough`.
void Tokenizer::append_segment(std::string_view segment, std::size_t enough, Scratch& scratch,
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
class Tokenizer::Run {
 public:
  Run(const Tokenizer& tokenizer, std::span<const std::string_view> texts, Truncation truncation,
      Scratch& scratch, IdBuffer& ids, std::vector<std::size_t>& ends)
      : t_(tokenizer), texts_(texts), truncation_(truncation), s_(scratch), ids_(ids), ends_(ends) {
    s_.pieces.clear();
    s_.used = 0;
    text_begin_ = ids_.size();
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
    while (n_finished_ <= index) {
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
    t_.append_segment(segment, enough(), s_, ids_);
    if (end == text.size() || ids_.size() >= enough()) finish_text();
    return end;
  }

  // Cuts the window into segments and appends their ids, text by text.
  void drain() {
    if (s_.used == 0) return;
    bool any_trigger = false;
    const std::size_t n = t_.kernels_.scan(s_.window, s_.used, *t_.classes_, s_.starts, s_.ends,
                                           s_.triggers, &any_trigger);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t length = std::size_t{s_.ends[i]} - s_.starts[i];
      s_.keys[i] = WordCache::key_of(s_.window + s_.starts[i], std::min(length, WordCache::kShort));
      s_.lines[i] = WordCache::line_of(s_.keys[i]);
      s_.cache.prefetch(s_.lines[i]);
    }
    std::size_t segment = 0;
    std::size_t begin = 0;
    for (const Scratch::Piece& piece : s_.pieces) {
      const std::size_t first = segment;
      while (segment < n && s_.starts[segment] < piece.end) ++segment;
      if (any_trigger && needs_plain_path(piece, begin)) {
        start_over(piece.text);
      } else {
        resolve(first, segment);
        if (piece.is_last || ids_.size() >= enough()) finish_text();
      }
      begin = piece.end;
    }
    s_.pieces.clear();
    s_.used = 0;
  }

  // Appends the ids of segments [first, last) of the window.
  void resolve(std::size_t first, std::size_t last) {
    ids_.reserve_more(3 * (last - first));
    std::uint32_t* out = ids_.data() + ids_.size();
    for (std::size_t i = first; i < last; ++i) {
      const std::size_t length = std::size_t{s_.ends[i]} - s_.starts[i];
      const WordCache::Entry* const entry =
          length <= WordCache::kShort ? s_.cache.find(s_.lines[i], s_.keys[i]) : nullptr;
      if (entry != nullptr && entry->count != WordCache::kOnLevel2) {
        // Always 16 bytes, then as far as there are ids: no branch on the count.
        std::memcpy(out, entry, sizeof *entry);
        out += entry->count;
        continue;
      }
      ids_.set_size(static_cast<std::size_t>(out - ids_.data()));
      append_missing({reinterpret_cast<const char*>(s_.window) + s_.starts[i], length},
                     entry != nullptr || length > WordCache::kShort);
      ids_.reserve_more(3 * (last - i));
      out = ids_.data() + ids_.size();
    }
    ids_.set_size(static_cast<std::size_t>(out - ids_.data()));
  }

  // Appends the ids of a segment that level 1 of the cache lacks, and remembers them.
  void append_missing(std::string_view segment, bool may_be_on_level_2) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(segment.data());
    if (may_be_on_level_2 && segment.size() <= WordCache::kLong) {
      const std::span<const std::uint32_t> known = s_.cache.find_long(bytes, segment.size());
      if (!known.empty()) return ids_.append(known);
    }
    const std::size_t before = ids_.size();
    if (std::ranges::all_of(segment, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
      t_.wordpiece_.append(segment, segment.size(), ids_);  // the scan has lower-cased it
    } else {
      t_.append_segment(segment, Truncation::kAll, s_, ids_);
    }
    s_.cache.insert(bytes, segment.size(), ids_.slice(before, ids_.size()));
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
        if (is_odd(s_.window[at]) || t_.raw_tokens_.begins_at(here, text.data() + text.size())) {
          return true;
        }
      }
    }
    return false;
  }

  void start_over(std::size_t index) {
    ids_.set_size(text_begin_);
    t_.append_plain(texts_[index], s_, ids_);
    finish_text();
  }

  void finish_text() {
    const std::size_t count = ids_.size() - text_begin_;
    if (count > truncation_.max_length) {
      const std::size_t dropped = count - truncation_.max_length;
      std::uint32_t* const first = ids_.data() + text_begin_;
      if (truncation_.keep_end) std::copy(first + dropped, first + count, first);
      ids_.set_size(ids_.size() - dropped);
    }
    text_begin_ = ids_.size();
    ends_.push_back(text_begin_);
    ++n_finished_;
  }

  // Size of `ids_` at which the rest of the current text no longer counts.
  std::size_t enough() const {
    const bool all =
        truncation_.keep_end || truncation_.max_length > Truncation::kAll - text_begin_;
    return all ? Truncation::kAll : text_begin_ + truncation_.max_length;
  }

  bool is_delimiter(char byte) const {
    const auto b = static_cast<unsigned char>(byte);
    return b < 0x80 && (t_.classes_->of[b] & kernels::kWordByte) == 0;
  }

  // A byte that joins or parts words in a way the scan does not know.
  bool is_odd(unsigned char b) const {
    constexpr unsigned kOdd = kernels::kWordByte | kernels::kTriggerByte;
    return b < 0x80 && (t_.classes_->of[b] & kOdd) == kOdd;
  }

  const Tokenizer& t_;
  std::span<const std::string_view> texts_;
  Truncation truncation_;
  Scratch& s_;
  IdBuffer& ids_;
  std::vector<std::size_t>& ends_;
  std::size_t text_begin_ = 0;  // size of `ids_` when the current text began
  std::size_t n_finished_ = 0;
};

void Tokenizer::encode(std::span<const std::string_view> texts, Truncation truncation,
                       IdBuffer& ids, std::vector<std::size_t>& ends) const {
  Lease scratch(*this);
  Run(*this, texts, truncation, *scratch, ids, ends).all();
}

}  // namespace vecsmith
