#include "plain_path.hpp"

#include <algorithm>
#include <iterator>

#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

// What one piece of working memory keeps from text to text.
constexpr std::size_t kKeptBytes = std::size_t{1} << 20;
constexpr std::size_t kKeptPieces = std::size_t{1} << 14;

std::vector<AddedToken> tokens_where(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> found;
  std::ranges::copy_if(tokens, std::back_inserter(found),
                       [=](const AddedToken& t) { return t.normalized == normalized; });
  return found;
}

AddedTokenMatcher raw_matcher(const std::vector<AddedToken>& tokens) {
  std::vector<std::string> contents;
  contents.reserve(tokens.size());
  for (const AddedToken& token : tokens) contents.push_back(token.content);
  return {tokens, contents};
}

AddedTokenMatcher normalized_matcher(const std::vector<AddedToken>& tokens,
                                     const Normalizer& normalizer) {
  std::vector<std::string> contents;
  for (const AddedToken& token : tokens) normalizer.append(token.content, contents.emplace_back());
  return {tokens, contents};
}

struct MakeModel {
  PlainPath::Model operator()(const WordPieceSettings& s) const { return WordPiece(s); }
  PlainPath::Model operator()(const BpeSettings& s) const { return Bpe(s); }
  PlainPath::Model operator()(const UnigramSettings& s) const { return Unigram(s); }
  PlainPath::Model operator()(const WordLevelSettings& s) const { return WordLevel(s); }
};

void append_word(const WordPiece& model, std::string_view word, IdBuffer& ids) {
  const auto is_lead = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; };
  model.append(word, static_cast<std::size_t>(std::ranges::count_if(word, is_lead)), ids);
}

template <typename Model>
void append_word(const Model& model, std::string_view word, IdBuffer& ids) {
  model.append(word, ids);
}

}  // namespace

PlainPath::PlainPath(const TokenizerSettings& settings)
    : normalizer_(settings.normalizer),
      splitter_(settings.splitter),
      model_(std::visit(MakeModel{}, settings.model)),
      raw_tokens_(raw_matcher(tokens_where(settings.added_tokens, false))),
      normalized_tokens_(
          normalized_matcher(tokens_where(settings.added_tokens, true), normalizer_)),
      max_id_(std::visit([](const auto& model) { return model.max_id(); }, model_)) {
  for (const AddedToken& token : settings.added_tokens) max_id_ = std::max(max_id_, token.id);
}

void PlainPath::Scratch::trim() {
  if (normalized.capacity() > kKeptBytes) normalized = {};
  if (words.bytes.capacity() > kKeptBytes) words.bytes = {};
  if (words.ends.capacity() > kKeptPieces) words.ends = {};
  if (raw_pieces.capacity() > kKeptPieces) raw_pieces = {};
  if (normalized_pieces.capacity() > kKeptPieces) normalized_pieces = {};
}

void PlainPath::append(std::string_view text, Scratch& scratch, IdBuffer& ids) const {
  raw_tokens_.split(text, scratch.raw_pieces);
  for (const AddedTokenMatcher::Piece& piece : scratch.raw_pieces) {
    if (piece.id != AddedTokenMatcher::Piece::kText) {
      ids.push_back(piece.id);
    } else {
      append_text(piece.text, piece.text.data() == text.data(), scratch, ids);
    }
  }
}

void PlainPath::append_text(std::string_view text, bool at_start, Scratch& scratch,
                            IdBuffer& ids) const {
  scratch.normalized.clear();
  normalizer_.append(text, scratch.normalized);
  if (normalized_tokens_.empty()) {
    return append_words(scratch.normalized, at_start, scratch, ids);
  }
  normalized_tokens_.split(scratch.normalized, scratch.normalized_pieces);
  for (const AddedTokenMatcher::Piece& piece : scratch.normalized_pieces) {
    if (piece.id != AddedTokenMatcher::Piece::kText) {
      ids.push_back(piece.id);
    } else {
      const bool is_first = piece.text.data() == scratch.normalized.data();
      append_words(piece.text, at_start && is_first, scratch, ids);
    }
  }
}

void PlainPath::append_words(std::string_view normalized, bool at_start, Scratch& scratch,
                             IdBuffer& ids) const {
  splitter_.split(normalized, at_start, scratch.words);
  std::visit(
      [&](const auto& model) {
        for (std::size_t i = 0; i < scratch.words.size(); ++i) {
          append_word(model, scratch.words[i], ids);
        }
      },
      model_);
}

std::string PlainPath::normalize(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  normalizer_.append(text, out);
  return out;
}

}  // namespace vecsmith
