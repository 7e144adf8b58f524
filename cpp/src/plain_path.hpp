#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vecsmith/added_tokens.hpp"
#include "vecsmith/bpe.hpp"
#include "vecsmith/ids.hpp"
#include "vecsmith/normalizer.hpp"
#include "vecsmith/splitter.hpp"
#include "vecsmith/tokenizer.hpp"
#include "vecsmith/unigram.hpp"
#include "vecsmith/word_level.hpp"
#include "vecsmith/wordpiece.hpp"

namespace vecsmith {

/// Text -> ids, one step after another, as Hugging Face does them. Nothing is remembered.
class PlainPath {
 public:
  using Model = std::variant<WordPiece, Bpe, Unigram, WordLevel>;

  explicit PlainPath(const TokenizerSettings& settings);

  /// Working memory of one thread.
  struct Scratch {
    std::string normalized;
    Words words;
    std::vector<AddedTokenMatcher::Piece> raw_pieces, normalized_pieces;

    void trim();
  };

  /// Appends the ids of `text`.
  void append(std::string_view text, Scratch& scratch, IdBuffer& ids) const;
  /// The same of a stretch without added tokens; `at_start` where it begins the whole input.
  void append_text(std::string_view text, bool at_start, Scratch& scratch, IdBuffer& ids) const;

  /// Normalised form of `text`, added tokens not looked for.
  std::string normalize(std::string_view text) const;

  /// Largest id that is ever given.
  std::uint32_t max_id() const { return max_id_; }

  /// Added tokens that are looked for in the raw text, and those looked for in the normalised one.
  const AddedTokenMatcher& raw_tokens() const { return raw_tokens_; }
  const AddedTokenMatcher& normalized_tokens() const { return normalized_tokens_; }
  /// True when some added token takes the white space before it, and the ids of that with it.
  bool takes_space_before() const {
    return raw_tokens_.takes_space_before() || normalized_tokens_.takes_space_before();
  }
  const Model& model() const { return model_; }
  const Normalizer& normalizer() const { return normalizer_; }
  const Splitter& splitter() const { return splitter_; }

 private:
  void append_words(std::string_view normalized, bool at_start, Scratch& scratch,
                    IdBuffer& ids) const;

  Normalizer normalizer_;
  Splitter splitter_;
  Model model_;
  AddedTokenMatcher raw_tokens_;
  AddedTokenMatcher normalized_tokens_;
  std::uint32_t max_id_;
};

}  // namespace vecsmith
