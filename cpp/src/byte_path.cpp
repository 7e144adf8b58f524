#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "byte_pattern.hpp"
#include "fast_path.hpp"
#include "kernels/byte_sets.hpp"
#include "kernels/kernels.hpp"
#include "scratch_pool.hpp"
#include "text_checks.hpp"
#include "window_ids.hpp"
#include "word_cache.hpp"

// Text in the pieces of a byte-level model's regular expression.
//
// Texts are copied into a window, each from a multiple of 64 bytes on. The pieces of the whole
// window are found at once (BytePattern), and each is the key of the word cache; only what that
// lacks is merged. What is behind the last sure piece of a long text comes again in the next
// window.
//
// A text that holds an added token, a NUL (a key cannot end in one) or bytes that are not UTF-8
// goes the plain path.

namespace vecsmith {

namespace {

constexpr std::size_t kWindow = 4096;
constexpr std::size_t kBlocks = kWindow / 64;
constexpr std::size_t kMostPieces = 2 * kBlocks;  // of texts in a window
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;

std::size_t whole_blocks(std::size_t n) { return (n + 63) / 64 * 64; }

// Steps that leave ASCII as it is.
bool is_for_others(const NormalizerStep& step) {
  return std::holds_alternative<normalizers::Nfc>(step) ||
         std::holds_alternative<normalizers::Nfd>(step) ||
         std::holds_alternative<normalizers::Nfkc>(step) ||
         std::holds_alternative<normalizers::Nfkd>(step);
}

struct Scratch {
  WordCache cache;
  PlainPath::Scratch plain;
  std::string normalized;

  // A stretch of the window that belongs to one text.
  struct Piece {
    std::size_t text;
    std::size_t begin, n;  // in the window
    std::string_view source;
    std::size_t n_prefixed;  // bytes before those of the source: 1 for a blank that was put there
    bool is_last;            // nothing of the text comes after it

    std::size_t n_sure = 0;   // of its bytes
    std::size_t n_words = 0;  // in them
    std::size_t n_starts = 0;
    bool is_plain = false;
    WindowIds::Mark ids_end{};
  };
  std::vector<Piece> pieces;
  std::size_t used = 0;
  alignas(64) unsigned char window[kWindow + 64] = {};
  kernels::BlockSets blocks[kBlocks + 1] = {};
  std::uint64_t bits[kBlocks + 1] = {};
  std::uint16_t starts[kWindow + 128] = {};
  kernels::WordKey keys[kWindow] = {};
  const void* lines[kWindow] = {};
  WindowIds ids;

  void trim() {
    plain.trim();
    if (normalized.capacity() > kKeptBytes) normalized = {};
  }
};

class BytePath : public FastPath {
 public:
  BytePath(BytePattern pattern, bool add_prefix_space, const PlainPath& plain, CpuLevel level);

  void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
              std::vector<std::size_t>& ends) const override;

 private:
  class Run;

  bool holds_token(const char* at, const char* end) const {
    return plain_.raw_tokens().begins_at(at, end) || plain_.normalized_tokens().begins_at(at, end);
  }
  bool is_first_byte(unsigned char byte) const {
    return plain_.raw_tokens().is_first_byte(byte) ||
           plain_.normalized_tokens().is_first_byte(byte);
  }
  bool holds_any_token(std::string_view text, const char* end) const;

  BytePattern pattern_;
  bool add_prefix_space_;
  const PlainPath& plain_;
  const Bpe& model_;
  kernels::ByteSets sets_;
  const kernels::Kernels& kernels_;
  const kernels::ByteSetKernels& set_kernels_;
  bool has_tokens_ = false;
  bool always_plain_ = false;
  bool normalizes_ = false;
  bool normalizes_ascii_ = false;
  mutable ScratchPool<Scratch> idle_;
};

BytePath::BytePath(BytePattern pattern, bool add_prefix_space, const PlainPath& plain,
                   CpuLevel level)
    : pattern_(pattern),
      add_prefix_space_(add_prefix_space),
      plain_(plain),
      model_(std::get<Bpe>(plain.model())),
      sets_(pattern.sets()),
      kernels_(kernels::kernels_of(level)),
      set_kernels_(kernels::byte_sets_of(level)) {
  const NormalizerSettings& steps = plain.normalizer().settings();
  normalizes_ = !steps.empty();
  normalizes_ascii_ = !std::ranges::all_of(steps, is_for_others);
  sets_.add(BytePattern::kTriggers, 0);
  for (unsigned byte = 0; byte < 0x100; ++byte) {
    if (!is_first_byte(static_cast<unsigned char>(byte))) continue;
    has_tokens_ = true;
    if (byte >= 0x80) {
      always_plain_ = true;
    } else {
      sets_.add(BytePattern::kTriggers, byte);
    }
  }
}

bool BytePath::holds_any_token(std::string_view text, const char* end) const {
  if (!has_tokens_) return false;
  for (const char& c : text) {
    if (is_first_byte(static_cast<unsigned char>(c)) && holds_token(&c, end)) return true;
  }
  return false;
}

// One call of encode(): fills windows with texts and drains them.
class BytePath::Run {
 public:
  Run(const BytePath& path, std::span<const std::string_view> texts, Truncation truncation,
      Scratch& scratch, IdBuffer& ids, std::vector<std::size_t>& ends)
      : t_(path),
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
  void add(std::size_t index) {
    const std::string_view text = texts_[index];
    if (!t_.normalizes_ || (!t_.normalizes_ascii_ && is_ascii(text))) return put(index, text);
    std::string& normalized = s_.normalized;
    normalized.clear();
    t_.plain_.normalizer().append(text, normalized);
    if (normalized == text) return put(index, text);
    drain();
    // Tokens that are looked for in the text itself may be gone from its normalised form.
    if (t_.holds_any_token(text, text.data() + text.size())) return start_over(index);
    put(index, normalized);
    drain();
  }

  // Puts a text into the window, draining that as often as it is full.
  void put(std::size_t index, std::string_view text) {
    bool prefixes = t_.add_prefix_space_ && !text.empty() && text.front() != ' ';
    while (true) {
      const std::size_t n_prefixed = prefixes ? 1 : 0;
      const std::size_t n = text.size() + n_prefixed;
      // Empty texts fill no window, but they are noted.
      const bool is_full = n > kWindow - s_.used || s_.pieces.size() >= kMostPieces;
      if (is_full && !s_.pieces.empty()) drain();
      const bool is_last = n <= kWindow;
      std::size_t take = is_last ? text.size() : kWindow - n_prefixed;
      while (!is_last && take > kWindow - 4 && is_continuation(text[take])) --take;
      unsigned char* const to = s_.window + s_.used;
      if (prefixes) *to = ' ';
      if (take > 0) std::memcpy(to + n_prefixed, text.data(), take);
      s_.pieces.push_back({index, s_.used, take + n_prefixed, text, n_prefixed, is_last});
      s_.used += whole_blocks(take + n_prefixed);
      if (is_last) return;
      const std::size_t n_consumed = drain();
      if (text_ids_.n_finished() > index) return;
      text.remove_prefix(n_consumed);
      prefixes = false;
    }
  }

  // Cuts the window into words and appends their ids, text by text. Returns how many bytes of the
  // last text that takes, as far as it is not finished.
  std::size_t drain() {
    if (s_.pieces.empty()) return 0;
    const std::size_t n_blocks = s_.used / 64;
    t_.set_kernels_.find_sets(s_.window, n_blocks, t_.sets_, s_.blocks);
    for (Scratch::Piece& piece : s_.pieces) cut(piece);
    const std::size_t n = t_.set_kernels_.write_offsets(s_.bits, n_blocks, s_.starts);
    s_.starts[n] = static_cast<std::uint16_t>(s_.used);
    // What is not a word ends where the next begins, so the starts are all that is needed.
    const kernels::WordProbes probes{s_.keys, s_.lines, s_.starts, s_.starts + 1, s_.cache.ring()};
    t_.kernels_.probe_words(s_.window, s_.cache.lines(), n, probes);
    find_ids(probes);
    std::size_t n_consumed = 0;
    WindowIds::Mark ids_begin;
    for (const Scratch::Piece& piece : s_.pieces) {
      n_consumed = append(piece, ids_begin);
      ids_begin = piece.ids_end;
    }
    s_.pieces.clear();
    s_.used = 0;
    return n_consumed;
  }

  // Finds the words of a piece: bits where they begin, and where what is sure of it ends.
  void cut(Scratch::Piece& piece) {
    std::uint64_t* const bits = s_.bits + piece.begin / 64;
    const std::size_t n_blocks = whole_blocks(piece.n) / 64;
    const BytePattern::Stretch stretch{s_.window + piece.begin, piece.n, piece.is_last,
                                       s_.blocks + piece.begin / 64, bits};
    piece.is_plain = has_trigger(piece) || !t_.pattern_.find_pieces(stretch);
    if (piece.is_plain) {
      std::fill_n(bits, n_blocks, 0);
    } else {
      piece.n_sure = piece.is_last ? piece.n : t_.pattern_.last_sure(stretch);
    }
    for (std::size_t b = 0; b < n_blocks; ++b) {
      if (piece.n_sure < 64 * b) {
        bits[b] = 0;
      } else if (const std::size_t left = piece.n_sure - 64 * b; left < 64) {
        const std::uint64_t end = std::uint64_t{1} << left;
        bits[b] = (bits[b] & (end - 1)) | end;
      }
      piece.n_starts += static_cast<std::size_t>(std::popcount(bits[b]));
    }
    // The end of what is sure is a start too, but for one where a block ends.
    piece.n_words = piece.n_starts - (piece.n_sure < 64 * n_blocks ? 1 : 0);
  }

  // Whether an added token begins in a piece, or a NUL is in it.
  bool has_trigger(const Scratch::Piece& piece) const {
    const char* const end = piece.source.data() + piece.source.size();
    for (std::size_t at = 0; at < piece.n; at += 64) {
      std::uint64_t bits = s_.blocks[(piece.begin + at) / 64].in[BytePattern::kTriggers];
      if (piece.n - at < 64) bits &= (std::uint64_t{1} << (piece.n - at)) - 1;
      for (; bits != 0; bits &= bits - 1) {
        const std::size_t i = at + static_cast<std::size_t>(std::countr_zero(bits));
        if (i < piece.n_prefixed) continue;
        const char* const here = piece.source.data() + (i - piece.n_prefixed);
        if (*here == '\0' || t_.holds_token(here, end)) return true;
      }
    }
    return false;
  }

  // Finds the ids of all words of the window.
  void find_ids(const kernels::WordProbes& probes) {
    s_.ids.clear();
    std::size_t first = 0;
    for (Scratch::Piece& piece : s_.pieces) {
      const std::size_t last = first + piece.n_words;
      if (!piece.is_plain) {
        s_.ids.look_up(t_.kernels_, s_.window, probes, first, last, s_.cache);
      }
      piece.ids_end = s_.ids.mark();
      first += piece.n_starts;
    }
    s_.ids.fill(t_.model_, s_.cache);
  }

  // Appends the ids of a piece; returns how many bytes of its source that takes.
  std::size_t append(const Scratch::Piece& piece, WindowIds::Mark ids_begin) {
    if (piece.is_plain) {
      start_over(piece.text);
      return 0;
    }
    std::size_t n_consumed = piece.n_sure - std::min(piece.n_sure, piece.n_prefixed);
    if (piece.n_sure == 0 && !piece.is_last) {
      n_consumed = append_long_word(piece);
      if (n_consumed == 0) return 0;
    } else {
      s_.ids.append(ids_begin, piece.ids_end, ids_);
    }
    const bool is_end = piece.is_last || n_consumed == piece.source.size();
    if (is_end || ids_.size() >= text_ids_.enough()) text_ids_.finish();
    return n_consumed;
  }

  // Appends the ids of a word that fills the window; returns its bytes, 0 if all of the text went
  // the plain path.
  std::size_t append_long_word(const Scratch::Piece& piece) {
    const std::string_view source = piece.source;
    const std::size_t n = piece.n_prefixed > 0 ? 0 : t_.pattern_.end_of_piece(source, 0);
    const std::string_view word = source.substr(0, n);
    if (n == 0 || !is_well_formed(word) ||
        t_.holds_any_token(word, source.data() + source.size())) {
      start_over(piece.text);
      return 0;
    }
    t_.model_.append(word, ids_, text_ids_.enough());
    return n;
  }

  void start_over(std::size_t index) {
    text_ids_.restart();
    t_.plain_.append(texts_[index], s_.plain, ids_);
    text_ids_.finish();
  }

  const BytePath& t_;
  std::span<const std::string_view> texts_;
  Scratch& s_;
  IdBuffer& ids_;
  TextIds text_ids_;
};

void BytePath::encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
                      std::vector<std::size_t>& ends) const {
  const auto scratch = idle_.borrow([] { return std::make_unique<Scratch>(); });
  Run(*this, texts, truncation, *scratch, ids, ends).all();
}

struct BytePieces {
  BytePattern pattern;
  bool add_prefix_space;
};

// Whether a Split leaves the matches of a pattern that covers all of a text as they are.
bool keeps_matches(const splitters::Split& split) {
  const splitters::Behavior kept =
      split.invert ? splitters::Behavior::kRemoved : splitters::Behavior::kIsolated;
  return split.behavior == kept && split.pattern.is_regex();
}

std::optional<BytePieces> pieces_of(const SplitterSettings& steps) {
  if (steps.empty() || steps.size() > 2) return std::nullopt;
  const auto* const bytes = std::get_if<splitters::ByteLevel>(&steps.back());
  if (bytes == nullptr) return std::nullopt;
  if (steps.size() == 1) {
    if (!bytes->use_regex) return std::nullopt;
    return BytePieces{BytePattern(), bytes->add_prefix_space};
  }
  const auto* const split = std::get_if<splitters::Split>(&steps.front());
  if (split == nullptr || !keeps_matches(*split)) return std::nullopt;
  if (bytes->use_regex || bytes->add_prefix_space) return std::nullopt;
  const std::optional<BytePattern> pattern = BytePattern::of_regex(split->pattern.text());
  if (!pattern) return std::nullopt;
  return BytePieces{*pattern, false};
}

}  // namespace

std::unique_ptr<FastPath> make_byte_path(const TokenizerSettings& settings, const PlainPath& plain,
                                         CpuLevel level) {
  const auto* const model = std::get_if<BpeSettings>(&settings.model);
  if (model == nullptr || !model->byte_level) return nullptr;
  const std::optional<BytePieces> pieces = pieces_of(settings.splitter);
  if (!pieces) return nullptr;
  return std::make_unique<BytePath>(pieces->pattern, pieces->add_prefix_space, plain, level);
}

}  // namespace vecsmith
