#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/ids.hpp"
#include "vecsmith/trie.hpp"

namespace vecsmith {

/// Vocabulary of a WordLevel model.
struct WordLevelSettings {
  std::vector<std::string> tokens;  ///< UTF-8, distinct
  std::vector<std::uint32_t> ids;   ///< one for each token
  std::uint32_t unk_id = 0;
};

/// Words -> one token id each.
class WordLevel {
 public:
  /// Throws std::invalid_argument when `tokens` and `ids` differ in length.
  explicit WordLevel(const WordLevelSettings& settings);

  /// Appends the id of one word, or of the unknown one; nothing for an empty word.
  void append(std::string_view word, IdBuffer& ids) const;

  /// Largest id this model emits.
  std::uint32_t max_id() const { return max_id_; }

 private:
  Trie trie_;  // token -> id
  std::uint32_t unk_id_;
  std::uint32_t max_id_;
};

}  // namespace vecsmith
