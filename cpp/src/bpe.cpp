#include "vecsmith/bpe.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "merges.hpp"
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

// Symbols of a window, and those that one character may add.
constexpr std::size_t kWindow = 1024;
constexpr std::size_t kPerCharacter = 8;
// Symbols that one byte may give.
constexpr std::size_t kMostOfByte = 3;

std::string utf8_of(char32_t c) {
  const auto byte = [](char32_t bits) {
    return static_cast<char>(static_cast<unsigned char>(bits));
  };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) {
    return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  }
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)),
          byte(0x80 | (c & 0x3F))};
}

// GPT-2's alphabet: bytes that print stand for themselves, the others for what follows U+00FF.
std::array<char32_t, 256> byte_alphabet() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    characters[b] = prints ? b : next++;
  }
  return characters;
}

// The character that a token is, or kMaxCodePoint + 1.
char32_t only_character(std::string_view token) {
  const char* p = token.data();
  const char* const end = p + token.size();
  if (p == end) return kMaxCodePoint + 1;
  const char32_t c = decode_utf8(p, end);
  return p == end ? c : kMaxCodePoint + 1;
}

std::string fallback_token(unsigned byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4U], kHex[byte & 15U], '>'};
}

// Numbers of some code points: pages of 256, shared where nothing is on them.
class CharacterNumbers {
 public:
  CharacterNumbers() : pages_((kMaxCodePoint >> 8) + 1), numbers_(256, kNone) {}

  std::uint32_t operator[](char32_t c) const {
    return numbers_[pages_[c >> 8] * 256U + (c & 255U)];
  }

  void set(char32_t c, std::uint32_t number) {
    if (pages_[c >> 8] == 0) {
      pages_[c >> 8] = static_cast<std::uint16_t>(numbers_.size() / 256);
      numbers_.resize(numbers_.size() + 256, kNone);
    }
    numbers_[pages_[c >> 8] * 256U + (c & 255U)] = number;
  }

 private:
  std::vector<std::uint16_t> pages_;
  std::vector<std::uint32_t> numbers_;
};

// A row of symbols and where in the word each begins.
struct Row {
  std::span<std::uint32_t> symbols;
  std::span<std::size_t> begins;
  std::size_t n = 0;
  std::size_t end = 0;  // where in the word the row ends

  void push(std::uint32_t symbol, std::size_t begin) {
    symbols[n] = symbol;
    begins[n++] = begin;
  }
};

struct Window {
  std::uint32_t symbols[kWindow + kPerCharacter];
  std::size_t begins[kWindow + kPerCharacter];
};

struct WindowSpace {
  std::uint32_t ranks[kWindow + kPerCharacter];
  std::uint32_t before[kWindow + kPerCharacter];
  std::uint32_t after[kWindow + kPerCharacter];
  std::uint64_t heap[2 * (kWindow + kPerCharacter)];

  Merges::Space view() { return {ranks, before, after, heap}; }
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
  void find_words(const BpeSettings& settings);
  Start start_of(const char*& p, const char* end) const;
  void read(std::string_view word, std::size_t at, Row& row) const;
  void append_short(std::string_view word, IdBuffer& ids) const;
  void append_windows(std::string_view word, IdBuffer& ids, std::size_t enough) const;
  void append_whole(std::string_view word, IdBuffer& ids) const;
  void emit(std::span<const std::uint32_t> symbols, IdBuffer& ids) const;
  bool is_cut(const Row& row, std::size_t i) const {
    return row.begins[i] != kInside && !(fuse_unk_ && row.symbols[i] == unk_);
  }

  Merges merges_;
  std::vector<std::uint32_t> ids_;  // of symbols
  std::uint32_t unk_ = kNone;       // symbol of unknown characters; kNone: they are left out
  bool byte_level_;
  bool fuse_unk_;
  bool all_bytes_known_ = false;  // every byte is one symbol
  bool may_be_cut_ = true;
  std::array<Start, 256> bytes_{};
  std::array<std::uint32_t, 256> fallback_{};
  CharacterNumbers characters_;
  WordTable words_;  // whole tokens, where they go first
};

namespace {

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

void check_merges(const BpeSettings& settings) {
  const std::size_t n = settings.tokens.size();
  for (const BpeSettings::Merge& merge : settings.merges) {
    const std::uint32_t largest = std::max({merge.left, merge.right, merge.merged});
    if (largest >= n) {
      throw std::invalid_argument("found a merge with token " + std::to_string(largest) +
                                  ", expected less than " + std::to_string(n));
    }
    const std::string& left = settings.tokens[merge.left];
    const std::string& right = settings.tokens[merge.right];
    const std::string_view merged = settings.tokens[merge.merged];
    const bool is_sum = merged.size() == left.size() + right.size() && merged.starts_with(left) &&
                        merged.ends_with(right);
    if (left.empty() || right.empty() || !is_sum) {
      throw std::invalid_argument("found a merge of " + quoted(left) + " and " + quoted(right) +
                                  " into " + quoted(merged) +
                                  ", expected one into the text of both");
    }
  }
}

const BpeSettings& checked(const BpeSettings& settings) {
  const std::size_t n = settings.tokens.size();
  if (n != settings.ids.size()) {
    throw std::invalid_argument(std::to_string(n) + " tokens but " +
                                std::to_string(settings.ids.size()) + " ids");
  }
  if (n + 1 >= Merges::kLimit) {
    throw std::invalid_argument("found " + std::to_string(n) + " tokens, expected fewer than " +
                                std::to_string(Merges::kLimit - 1));
  }
  std::vector<std::uint32_t> ids = settings.ids;
  std::ranges::sort(ids);
  const auto twice = std::ranges::adjacent_find(ids);
  if (twice != ids.end()) {
    throw std::invalid_argument("found two tokens with id " + std::to_string(*twice) +
                                ", expected one");
  }
  check_merges(settings);
  return settings;
}

}  // namespace

Bpe::Rules::Rules(const BpeSettings& settings)
    : merges_(settings.merges),
      ids_(settings.ids),
      byte_level_(settings.byte_level),
      fuse_unk_(settings.fuse_unk) {
  if (settings.unk_id) {
    const auto known = std::ranges::find(ids_, *settings.unk_id);
    unk_ = static_cast<std::uint32_t>(known - ids_.begin());
    if (known == ids_.end()) ids_.push_back(*settings.unk_id);
  }
  find_bytes(settings);
  find_characters(settings);
  if (settings.ignore_merges) find_words(settings);
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
  all_bytes_known_ = true;
  for (std::size_t b = 0; b < 256; ++b) {
    const std::string character = utf8_of(alphabet[b]);
    const char* p = character.data();
    bytes_[b] = start_of(p, p + character.size());
    all_bytes_known_ = all_bytes_known_ && bytes_[b].n == 1;
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
void Bpe::Rules::read(std::string_view word, std::size_t at, Row& row) const {
  const char* const end = word.data() + word.size();
  const char* p = word.data() + at;
  const std::size_t room = row.symbols.size() - kPerCharacter;
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
  row.end = static_cast<std::size_t>(p - word.data());
}

void Bpe::Rules::append(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  if (word.empty()) return;
  if (const std::uint32_t known = words_.find(word); known != WordTable::kNone) {
    return ids.push_back(ids_[known]);
  }
  if (word.size() <= Merges::kShort) return append_short(word, ids);
  if (may_be_cut_) return append_windows(word, ids, enough);
  append_whole(word, ids);
}

void Bpe::Rules::append_short(std::string_view word, IdBuffer& ids) const {
  std::uint32_t symbols[Merges::kShort];
  if (all_bytes_known_) {
    for (std::size_t i = 0; i < word.size(); ++i) {
      symbols[i] = bytes_[static_cast<unsigned char>(word[i])].symbols[0];
    }
    return emit({symbols, merges_.merge_short(symbols, word.size())}, ids);
  }
  // A byte may be spelled as a character of two, or read as U+FFFD, which has three.
  std::uint32_t read_symbols[kMostOfByte * Merges::kShort + kPerCharacter];
  std::size_t begins[kMostOfByte * Merges::kShort + kPerCharacter];
  Row row{read_symbols, begins};
  read(word, 0, row);
  if (row.n > Merges::kShort) return append_whole(word, ids);
  emit({read_symbols, merges_.merge_short(read_symbols, row.n)}, ids);
}

void Bpe::Rules::append_windows(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  Window windows[2];
  WindowSpace space;
  Row row{windows[0].symbols, windows[0].begins};
  Row next{windows[1].symbols, windows[1].begins};
  const auto fill = [&](Row& into, std::size_t at) {
    read(word, at, into);
    into.n = merges_.merge_long(into.symbols.data(), into.begins.data(), into.n, space.view());
  };
  const std::size_t before = ids.size();
  std::size_t first = 0;  // token of `row` that goes on from where the ids end
  fill(row, 0);
  while (row.end != word.size()) {
    std::size_t i = row.n - row.n / 8;
    while (i > first && (i == row.n || !is_cut(row, i))) --i;
    std::size_t j = 0;
    if (i > first) fill(next, row.begins[i]);
    while (i > first && i < row.n && j < next.n) {
      const bool is_same = row.begins[i] == next.begins[j] && row.symbols[i] == next.symbols[j];
      if (is_same && is_cut(row, i)) break;
      // A part of a character has no place of its own; it lies behind the part before it.
      const bool row_lags = row.begins[i] == kInside ||
                            (next.begins[j] != kInside && row.begins[i] <= next.begins[j]);
      ++(row_lags ? i : j);
    }
    if (i == first || i == row.n || j == next.n) {
      // No place is sure; that takes tokens about as long as a window.
      ids.set_size(before);
      return append_whole(word, ids);
    }
    emit(row.symbols.subspan(first, i - first), ids);
    if (ids.size() >= enough) return;
    std::swap(row, next);
    first = j;
  }
  emit(row.symbols.subspan(first, row.n - first), ids);
}

void Bpe::Rules::append_whole(std::string_view word, IdBuffer& ids) const {
  const std::size_t most = kMostOfByte * word.size();
  if (most >= kNone) {
    throw std::invalid_argument("found a word of " + std::to_string(word.size()) +
                                " bytes, expected less than 1 GB");
  }
  std::vector<std::uint32_t> symbols(most + kPerCharacter);
  std::vector<std::size_t> begins(most + kPerCharacter);
  Row row{symbols, begins};
  read(word, 0, row);
  std::vector<std::uint32_t> ranks(row.n), before(row.n), after(row.n);
  std::vector<std::uint64_t> heap(2 * row.n);
  const Merges::Space space{ranks.data(), before.data(), after.data(), heap.data()};
  emit({symbols.data(), merges_.merge_long(symbols.data(), begins.data(), row.n, space)}, ids);
}

void Bpe::Rules::emit(std::span<const std::uint32_t> symbols, IdBuffer& ids) const {
  ids.reserve_more(symbols.size());
  std::uint32_t* const out = ids.data() + ids.size();
  for (std::size_t i = 0; i < symbols.size(); ++i) out[i] = ids_[symbols[i]];
  ids.set_size(ids.size() + symbols.size());
}

Bpe::Bpe(const BpeSettings& settings) : rules_(std::make_unique<const Rules>(checked(settings))) {
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
