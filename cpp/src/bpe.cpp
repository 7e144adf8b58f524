#include "vecsmith/bpe.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "bpe_checks.hpp"
#include "bpe_rules.hpp"
#include "merges.hpp"
#include "symbol_row.hpp"
#include "vecsmith/unicode.hpp"

// How a word becomes symbols, and symbols tokens.
//
// Short words are merged in place. A long one is merged window by window, which gives the same ids:
// symbols left and right of a boundary of two final tokens never saw each other, so a row of tokens
// is what the whole word becomes if each two neighbours are what they become by themselves. Windows
// overlap; where both give one token at one place, the first may end and the second go on.

namespace vecsmith {

namespace {

constexpr std::uint32_t kNone = Merges::kNone;

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
    const bool is_byte_row = window == kSmallWindow && !byte_symbols_.empty();
    if (is_byte_row ? append_byte_windows(word, ids, enough)
                    : append_windows(word, window, ids, enough)) {
      return;
    }
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

void Bpe::Rules::read_short_bytes(std::string_view word, std::uint32_t* symbols,
                                  std::int32_t* ranks) const {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(word.data());
  const std::size_t n = word.size();
  for (std::size_t i = 0; i < n; ++i) symbols[i] = byte_symbols_[bytes[i]];
  for (std::size_t i = 0; i + 1 < n; ++i) ranks[i] = byte_ranks_[256U * bytes[i] + bytes[i + 1]];
}

// The same where each byte is a symbol.
void Bpe::Rules::append_short_bytes(std::string_view word, IdBuffer& ids) const {
  std::uint32_t symbols[kShortWord + 1];
  std::int32_t ranks[kShortWord + 1];
  read_short_bytes(word, symbols, ranks);
  merges_.merge_short(symbols, ranks, word.size());
  emit({symbols, word.size()}, ids);
}

void Bpe::Rules::append_all(std::span<const std::string_view> words, IdBuffer& ids,
                            std::vector<std::size_t>& ends) const {
  Merges::WordRow rows[Merges::kMostRows];
  while (!words.empty()) {
    const auto some = words.first(std::min(words.size(), Merges::kMostRows));
    std::uint64_t in_row = 0;
    std::size_t n_rows = 0;
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (!read_row(some[i], rows[n_rows])) continue;
      in_row |= std::uint64_t{1} << i;
      ++n_rows;
    }
    merges_.merge_rows(std::span<Merges::WordRow>(rows).first(n_rows));
    const Merges::WordRow* row = rows;
    for (std::size_t i = 0; i < some.size(); ++i) {
      if ((in_row >> i & 1U) != 0) {
        emit({row->symbols, row->n}, ids);
        ++row;
      } else {
        append(some[i], ids, kAll);
      }
      ends.push_back(ids.size());
    }
    words = words.subspan(some.size());
  }
}

// Reads a word into a row; false where that has no room for it.
bool Bpe::Rules::read_row(std::string_view word, Merges::WordRow& row) const {
  if (word.empty() || word.size() > Merges::WordRow::kLongest || byte_symbols_.empty())
    return false;
  if (ignores_merges_) {
    row.symbols[0] = words_.find(word);
    row.n = 1;
    if (row.symbols[0] != WordTable::kNone) return true;
  }
  read_short_bytes(word, row.symbols, row.ranks);
  row.n = word.size();
  return true;
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

// The same with small windows where each byte is a symbol: many windows are merged side by side, so
// where they begin is not asked of those before them.
bool Bpe::Rules::append_byte_windows(std::string_view word, IdBuffer& ids,
                                     std::size_t enough) const {
  constexpr std::size_t kStep = 48;  // enough of two windows overlaps
  Merges::WindowRow rows[Merges::kMostRows];
  std::size_t begins[Merges::kMostRows];
  const auto fill = [&](std::size_t i, std::size_t at) {
    const std::string_view bytes = word.substr(at, kShortWord);
    read_short_bytes(bytes, rows[i].symbols, rows[i].ranks);
    rows[i].n = bytes.size();
    begins[i] = at;
  };
  const auto end_of = [&](std::size_t i) { return begins[i] + rows[i].n; };
  // Where a row and the next one give the same token, from `place` of the row on; 0 where nowhere.
  const auto find_same = [&](std::size_t i, std::size_t place) -> std::size_t {
    std::size_t at = std::max(begins[i] + place, begins[i + 1]);
    for (; at < end_of(i); ++at) {
      const std::uint32_t symbol = rows[i].symbols[at - begins[i]];
      if (symbol != kNone && symbol == rows[i + 1].symbols[at - begins[i + 1]]) return at;
    }
    return 0;
  };
  fill(0, 0);
  merges_.merge_rows(std::span<Merges::WindowRow>(rows).first(1));
  std::size_t place = 0;  // in the first row, up to which all is done
  while (end_of(0) != word.size()) {
    std::size_t n = 1;
    do {
      fill(n, begins[0] + n * kStep);
    } while (end_of(n++) != word.size() && n < Merges::kMostRows);
    merges_.merge_rows(std::span<Merges::WindowRow>(rows).subspan(1, n - 1));
    for (std::size_t i = 0; i + 1 < n; ++i) {
      std::size_t same = find_same(i, place);
      if (same == 0) {
        // A row that begins with a token of the one before it mostly goes on like that.
        std::size_t later = kShortWord / 2;
        while (later > place && rows[i].symbols[later] == kNone) --later;
        if (later <= place) return false;
        fill(i + 1, begins[i] + later);
        merges_.merge_rows(std::span<Merges::WindowRow>(rows).subspan(i + 1, 1));
        same = find_same(i, place);
        if (same == 0) return false;
      }
      emit({rows[i].symbols + place, same - begins[i] - place}, ids);
      if (ids.size() >= enough) return true;
      place = same - begins[i + 1];
    }
    rows[0] = rows[n - 1];
    begins[0] = begins[n - 1];
  }
  emit({rows[0].symbols + place, rows[0].n - place}, ids);
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
  // Which are gone cannot be predicted, so all are written.
  for (const std::uint32_t symbol : symbols) {
    *out = symbol;
    out += symbol != kNone ? 1 : 0;
  }
  if (!ids_are_symbols_) {
    for (std::uint32_t* id = ids.data() + ids.size(); id != out; ++id) *id = ids_[*id];
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

void Bpe::append_all(std::span<const std::string_view> words, IdBuffer& ids,
                     std::vector<std::size_t>& ends) const {
  rules_->append_all(words, ids, ends);
}

}  // namespace vecsmith
