#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/ids.hpp"
#include "vecsmith/trie.hpp"

namespace vecsmith {

/// Vocabulary and rules of a WordPiece model.
struct WordPieceSettings {
  std::vector<std::string> tokens;  ///< UTF-8, distinct
  std::vector<std::uint32_t> ids;   ///< one for each token
  std::uint32_t unk_id = 0;
  std::string continuing_subword_prefix = "##";
  std::size_t max_input_chars_per_word = 100;
};

/// Words -> token ids by greedy longest match (Wu et al., 2016, as in Hugging Face's WordPiece).
class WordPiece {
 public:
  /// Throws std::invalid_argument when `tokens` and `ids` differ in length.
  explicit WordPiece(const WordPieceSettings& settings);

  /// Appends the ids of one word of `n_chars` characters; a word with no match is one unknown id.
  void append(std::string_view word, std::size_t n_chars, IdBuffer& ids) const;

  /// Largest id this model emits.
  std::uint32_t max_id() const { return max_id_; }

  /// Characters of the longest word that is not unknown for its length.
  std::size_t max_chars() const { return max_chars_; }

 private:
  Trie words_;          // pieces that start a word
  Trie continuations_;  // pieces that go on, without their prefix
  std::uint32_t unk_id_;
  std::uint32_t max_id_;
  std::size_t max_chars_;
};

}  // namespace vecsmith
