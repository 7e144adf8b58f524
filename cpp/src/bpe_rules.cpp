#include "bpe_rules.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "bpe_checks.hpp"
#include "vecsmith/unicode.hpp"

// The tables of a model, from its settings.

namespace vecsmith {

namespace {

constexpr std::uint32_t kNone = Merges::kNone;

}  // namespace

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
  std::uint32_t symbol = 0;
  ids_are_symbols_ = std::ranges::all_of(ids_, [&](std::uint32_t id) { return id == symbol++; });
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

}  // namespace vecsmith
