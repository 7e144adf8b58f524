#include "vecsmith/bpe.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "bpe_checks.hpp"
#include "character_numbers.hpp"
#include "merges.hpp"
#include "symbol_row.hpp"
#include "vecsmith/unicode.hpp"
#include "word_table.hpp"

// How a word becomes symbols, and symbols tokens.
//
// Short words are merged in place. A long one is merged window by window, which gives the same ids:
// symbols left and right of a boundary of two final tokens never saw each other, so a row of tokens
// is what the whole word becomes if each two neighbours are what they become by themselves. Windows
// overlap; where both give one token at one place, the first may end and the second go on.

namespace vecsmith {

namespace {

constexpr std::uint32_t kNone = Merges::kNone;
// Where a symbol begins that is not the first of its character.
constexpr std::size_t kInside = static_cast<std::size_t>(-1);

// Symbols of a window. Most words are cut well enough by windows that are quickly merged.
constexpr std::size_t kSmallWindow = Merges::kShort;
constexpr std::size_t kWindow = 1024;
// Symbols that one byte may give: it may be spelled as a character of two bytes, or be ill-formed
// and read as U+FFFD, which has three.
constexpr std::size_t kMostOfByte = 3;
// Bytes of a word that is merged in one go.
constexpr std::size_t kShortWord = Merges::kShort;

// What merging a window takes beside its row.
struct WindowSpace {
  std::uint32_t before[kWindow + kMostOfCharacter];
  std::uint32_t after[kWindow + kMostOfCharacter];
  std::uint64_t heap[2 * (kWindow + kMostOfCharacter)];
};

}  // namespace

class Bpe::Rules {
 public:
  explicit Rules(const BpeSettings& settings);

  void append(std::string_view word, IdBuffer& ids, std::size_t enough) const;

 private:
  // What a character is before anything merges.
  struct Start {
    std::uint32_t symbols[4];
    std::size_t n;  // 0: unknown
    bool is_token;  // not bytes instead of it
  };

  void find_bytes(const BpeSettings& settings);
  void find_characters(const BpeSettings& settings);
  void rank_bytes(const BpeSettings& settings);
  void find_words(const BpeSettings& settings);
  Start start_of(const char*& p, const char* end) const;
  void read(std::string_view word, std::size_t at, SymbolRow& row) const;
  void read_bytes(std::string_view word, std::size_t at, SymbolRow& row) const;
  void read_any(std::string_view word, std::size_t at, SymbolRow& row) const {
    byte_symbols_.empty() ? read(word, at, row) : read_bytes(word, at, row);
  }
  void append_short(std::string_view word, IdBuffer& ids) const;
  void append_short_bytes(std::string_view word, IdBuffer& ids) const;
  bool append_windows(std::string_view word, std::size_t window, IdBuffer& ids,
                      std::size_t enough) const;
  void append_whole(std::string_view word, IdBuffer& ids) const;
  void emit(std::span<const std::uint32_t> symbols, IdBuffer& ids) const;
  bool is_cut(const SymbolRow& row, std::size_t i) const {
    return row.begins[i] != kInside && !(fuse_unk_ && row.symbols[i] == unk_);
  }

  Merges merges_;
  std::vector<std::uint32_t> ids_;  // of symbols
  std::uint32_t unk_ = kNone;       // symbol of unknown characters; kNone: they are left out
  bool byte_level_;
  bool fuse_unk_;
  bool ignores_merges_;
  bool may_be_cut_ = true;
  std::array<Start, 256> bytes_{};
  std::array<std::uint32_t, 256> fallback_{};
  CharacterNumbers characters_;
  // Where each byte is one symbol: these, and how soon two bytes merge. Else empty.
  std::vector<std::uint32_t> byte_symbols_;
  std::vector<std::int32_t> byte_ranks_;
  WordTable words_;  // whole tokens, where they go first
};

Bpe::Rules::Rules(const BpeSettings& settings)
    : merges_(settings.merges),
      ids_(settings.ids),
      byte_level_(settings.byte_level),
      fuse_unk_(settings.fuse_unk),
      ignores_merges_(settings.ignore_merges) {
  if (settings.unk_id) {
    const auto known = std::ranges::find(ids_, *settings.unk_id);
    unk_ = static_cast<std::uint32_t>(known - ids_.begin());
    if (known == ids_.end()) ids_.push_back(*settings.unk_id);
  }
  find_bytes(settings);
  find_characters(settings);
  if (ignores_merges_) find_words(settings);
}

// The tokens that stand for single bytes of characters without a token.
void Bpe::Rules::find_bytes(const BpeSettings& settings) {
  fallback_.fill(kNone);
  if (!settings.byte_fallback) return;
  std::vector<WordTable::Entry> names;
  for (std::uint32_t b = 0; b < 256; ++b) names.push_back({fallback_token(b), b});
  const WordTable byte_of(names);
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    const std::uint32_t byte = byte_of.find(settings.tokens[i]);
    if (byte != WordTable::kNone) fallback_[byte] = static_cast<std::uint32_t>(i);
  }
  // Unknown characters are put behind the bytes of known ones that follow them, however far.
  const bool has_all = std::ranges::find(fallback_, kNone) == fallback_.end();
  may_be_cut_ = has_all || unk_ == kNone;
}

void Bpe::Rules::find_characters(const BpeSettings& settings) {
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    const char32_t c = only_character(settings.tokens[i]);
    if (c <= kMaxCodePoint) characters_.set(c, static_cast<std::uint32_t>(i));
  }
  if (!byte_level_) return;
  const std::array<char32_t, 256> alphabet = byte_alphabet();
  for (std::size_t b = 0; b < 256; ++b) {
    std::string character;
    append_utf8(character, alphabet[b]);
    const char* p = character.data();
    bytes_[b] = start_of(p, p + character.size());
  }
  if (std::ranges::all_of(bytes_, [](const Start& start) { return start.n == 1; })) {
    rank_bytes(settings);
  }
}

void Bpe::Rules::rank_bytes(const BpeSettings& settings) {
  std::vector<std::size_t> byte_of(ids_.size(), 256);
  for (std::size_t b = 0; b < 256; ++b) {
    byte_symbols_.push_back(bytes_[b].symbols[0]);
    byte_of[byte_symbols_.back()] = b;
  }
  byte_ranks_.assign(256U * 256U, Merges::kNever);
  for (std::size_t rank = 0; rank < settings.merges.size(); ++rank) {
    const std::size_t left = byte_of[settings.merges[rank].left];
    const std::size_t right = byte_of[settings.merges[rank].right];
    if (left < 256 && right < 256)
      byte_ranks_[256 * left + right] = static_cast<std::int32_t>(rank);
  }
}

void Bpe::Rules::find_words(const BpeSettings& settings) {
  CharacterNumbers byte_of;
  const std::array<char32_t, 256> alphabet = byte_alphabet();
  for (std::uint32_t b = 0; b < 256; ++b) byte_of.set(alphabet[b], b);
  std::vector<WordTable::Entry> words;
  words.reserve(settings.tokens.size());
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    const std::string& token = settings.tokens[i];
    std::string word = byte_level_ ? std::string() : token;
    bool is_word = true;
    const char* p = token.data();
    const char* const end = p + token.size();
    while (byte_level_ && is_word && p != end) {
      const std::uint32_t byte = byte_of[decode_utf8(p, end)];
      is_word = byte != kNone;
      word.push_back(static_cast<char>(static_cast<unsigned char>(byte)));
    }
    if (is_word) words.push_back({std::move(word), static_cast<std::uint32_t>(i)});
  }
  words_ = WordTable(words);
}

Bpe::Rules::Start Bpe::Rules::start_of(const char*& p, const char* end) const {
  const char* const begin = p;
  const char32_t c = decode_utf8(p, end);
  if (const std::uint32_t known = characters_[c]; known != kNone) return {{known}, 1, true};
  // An ill-formed character has the bytes of the one it is read as.
  const std::string_view bytes =
      c == kReplacementCharacter ? "\xEF\xBF\xBD" : std::string_view(begin, p);
  Start start{{}, 0, false};
  for (const char byte : bytes) {
    const std::uint32_t symbol = fallback_[static_cast<unsigned char>(byte)];
    if (symbol == kNone) return {{}, 0, false};
    start.symbols[start.n++] = symbol;
  }
  return start;
}

// Symbols of `word` from `at` on, as many as the row has room for.
void Bpe::Rules::read(std::string_view word, std::size_t at, SymbolRow& row) const {
  const char* const end = word.data() + word.size();
  const char* p = word.data() + at;
  const std::size_t room = row.symbols.size() - kMostOfCharacter;
  std::size_t unknown = kInside;  // where unknown characters begin that are not in the row yet
  row.n = 0;
  while (p != end && row.n < room) {
    const auto here = static_cast<std::size_t>(p - word.data());
    Start start{};
    if (byte_level_) {
      start = bytes_[static_cast<unsigned char>(*p++)];
    } else {
      start = start_of(p, end);
    }
    if (start.n == 0) {
      if (unk_ == kNone) continue;
      if (unknown != kInside && !fuse_unk_) row.push(unk_, unknown);
      if (unknown == kInside || !fuse_unk_) unknown = here;
      continue;
    }
    if (start.is_token && unknown != kInside) {
      row.push(unk_, unknown);
      unknown = kInside;
    }
    for (std::size_t i = 0; i < start.n; ++i) row.push(start.symbols[i], i == 0 ? here : kInside);
  }
  if (unknown != kInside) row.push(unk_, unknown);
  for (std::size_t i = 0; i + 1 < row.n; ++i) {
    row.ranks[i] = merges_.rank(row.symbols[i], row.symbols[i + 1]);
  }
  row.end = static_cast<std::size_t>(p - word.data());
}

// The same where each byte is a symbol.
void Bpe::Rules::read_bytes(std::string_view word, std::size_t at, SymbolRow& row) const {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(word.data()) + at;
  row.n = std::min(word.size() - at, row.symbols.size() - kMostOfCharacter);
  row.end = at + row.n;
  for (std::size_t i = 0; i < row.n; ++i) {
    row.symbols[i] = byte_symbols_[bytes[i]];
    row.begins[i] = at + i;
  }
  for (std::size_t i = 0; i + 1 < row.n; ++i) {
    row.ranks[i] = byte_ranks_[256U * bytes[i] + bytes[i + 1]];
  }
}

void Bpe::Rules::append(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  if (word.empty()) return;
  if (ignores_merges_) {
    const std::uint32_t known = words_.find(word);
    if (known != WordTable::kNone) return ids.push_back(ids_[known]);
  }
  if (word.size() <= kShortWord) return append_short(word, ids);
  const std::size_t before = ids.size();
  for (const std::size_t window : {kSmallWindow, kWindow}) {
    if (!may_be_cut_) break;
    if (append_windows(word, window, ids, enough)) return;
    ids.set_size(before);
  }
  append_whole(word, ids);
}

void Bpe::Rules::append_short(std::string_view word, IdBuffer& ids) const {
  if (!byte_symbols_.empty()) return append_short_bytes(word, ids);
  RowSpace<kMostOfByte * kShortWord> space;
  SymbolRow row = space.row(kMostOfByte * kShortWord);
  read_any(word, 0, row);
  if (row.n > Merges::kShort) return append_whole(word, ids);
  merges_.merge_short(row.symbols.data(), row.ranks.data(), row.n);
  emit(row.symbols.first(row.n), ids);
}

// The same where each byte is a symbol; most words come here.
void Bpe::Rules::append_short_bytes(std::string_view word, IdBuffer& ids) const {
  std::uint32_t symbols[kShortWord];
  std::int32_t ranks[kShortWord];
  const auto* const bytes = reinterpret_cast<const unsigned char*>(word.data());
  const std::size_t n = word.size();
  for (std::size_t i = 0; i < n; ++i) symbols[i] = byte_symbols_[bytes[i]];
  for (std::size_t i = 0; i + 1 < n; ++i) ranks[i] = byte_ranks_[256U * bytes[i] + bytes[i + 1]];
  merges_.merge_short(symbols, ranks, n);
  emit({symbols, n}, ids);
}

// Appends the ids of a word from windows of so many symbols; false where no place is sure, which
// takes tokens about as long as a window.
bool Bpe::Rules::append_windows(std::string_view word, std::size_t window, IdBuffer& ids,
                                std::size_t enough) const {
  RowSpace<kWindow> rows[2];
  WindowSpace space;
  const bool is_small = window == kSmallWindow;
  const std::size_t room = window - kMostOfCharacter;
  SymbolRow row = rows[0].row(room);
  SymbolRow next = rows[1].row(room);
  const auto fill = [&](SymbolRow& into, std::size_t at) {
    read_any(word, at, into);
    if (is_small) {
      merges_.merge_short(into.symbols.data(), into.ranks.data(), into.n);
    } else {
      const Merges::Space view{into.ranks.data(), space.before, space.after, space.heap};
      merges_.merge_long(into.symbols.data(), into.n, view);
    }
    into.drop_gone();
  };
  std::size_t first = 0;  // token of `row` that goes on from where the ids end
  fill(row, 0);
  while (row.end != word.size()) {
    std::size_t i = row.n - row.n / (is_small ? 4 : 8);
    while (i > first && (i == row.n || !is_cut(row, i))) --i;
    if (i == first) return false;
    fill(next, row.begins[i]);
    std::size_t j = 0;
    while (i < row.n && j < next.n) {
      const bool is_same = row.begins[i] == next.begins[j] && row.symbols[i] == next.symbols[j];
      if (is_same && is_cut(row, i)) break;
      // A part of a character has no place of its own; it lies behind the part before it.
      const bool row_lags = row.begins[i] == kInside ||
                            (next.begins[j] != kInside && row.begins[i] <= next.begins[j]);
      ++(row_lags ? i : j);
    }
    if (i == row.n || j == next.n) return false;
    emit(row.symbols.subspan(first, i - first), ids);
    if (ids.size() >= enough) return true;
    std::swap(row, next);
    first = j;
  }
  emit(row.symbols.subspan(first, row.n - first), ids);
  return true;
}

void Bpe::Rules::append_whole(std::string_view word, IdBuffer& ids) const {
  const std::size_t most = kMostOfByte * word.size() + kMostOfCharacter;
  if (most >= kNone) {
    throw std::invalid_argument("found a word of " + std::to_string(word.size()) +
                                " bytes, expected less than 1 GB");
  }
  std::vector<std::uint32_t> symbols(most);
  std::vector<std::size_t> begins(most);
  std::vector<std::int32_t> ranks(most);
  SymbolRow row{symbols, begins, ranks};
  read_any(word, 0, row);
  std::vector<std::uint32_t> before(row.n);
  std::vector<std::uint32_t> after(row.n);
  std::vector<std::uint64_t> heap(2 * row.n);
  merges_.merge_long(symbols.data(), row.n,
                     {ranks.data(), before.data(), after.data(), heap.data()});
  emit(row.symbols.first(row.n), ids);
}

// Appends the ids of symbols, those that are gone left out.
void Bpe::Rules::emit(std::span<const std::uint32_t> symbols, IdBuffer& ids) const {
  ids.reserve_more(symbols.size());
  std::uint32_t* out = ids.data() + ids.size();
  for (const std::uint32_t symbol : symbols) {
    // Which are gone cannot be predicted, so all are written.
    *out = ids_[symbol != kNone ? symbol : 0];
    out += symbol != kNone ? 1 : 0;
  }
  ids.set_size(static_cast<std::size_t>(out - ids.data()));
}

Bpe::Bpe(const BpeSettings& settings)
    : rules_(std::make_unique<const Rules>(checked_bpe(settings))) {
  for (const std::uint32_t id : settings.ids) max_id_ = std::max(max_id_, id);
  if (settings.unk_id) max_id_ = std::max(max_id_, *settings.unk_id);
}

Bpe::~Bpe() = default;
Bpe::Bpe(Bpe&&) noexcept = default;
Bpe& Bpe::operator=(Bpe&&) noexcept = default;

void Bpe::append(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  rules_->append(word, ids, enough);
}

}  // namespace vecsmith
