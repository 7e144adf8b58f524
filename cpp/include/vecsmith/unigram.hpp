#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/ids.hpp"
#include "vecsmith/piece_trie.hpp"

namespace vecsmith {

/// Vocabulary and rules of a Unigram model; the id of a token is its place.
struct UnigramSettings {
  std::vector<std::string> tokens;  ///< UTF-8; a later one of the same spelling wins
  std::vector<double> scores;       ///< log probability of each token
  std::optional<std::uint32_t> unk_id;
  bool byte_fallback = false;  ///< what has no token becomes <0xNN> tokens
};

/// Words -> token ids by the most probable segmentation (Kudo, 2018, as in Hugging Face's Unigram).
///
/// Scores are added in float64 from left to right and the first of equal sums stays, so the ids are
/// those of that library even where segmentations are equally good. Characters without a token cost
/// ten less than the worst token; a row of them is one unknown token, or its bytes' tokens.
class Unigram {
 public:
  /// Throws std::invalid_argument when the parts do not fit each other, or for a score beyond
  /// kMostScore, of which sums could be infinite.
  explicit Unigram(const UnigramSettings& settings);

  /// Appends the ids of one word; may stop once `ids` holds `enough`, which saves work on words
  /// that are whole books. Throws std::invalid_argument where the word holds a character
  /// without a token and the model has no unknown token.
  void append(std::string_view word, IdBuffer& ids, std::size_t enough = kAll) const;

  /// Largest id this model emits.
  std::uint32_t max_id() const { return max_id_; }

  static constexpr double kMostScore = 1e100;
  static constexpr std::size_t kAll = static_cast<std::size_t>(-1);

 private:
  class Search;

  PieceTrie pieces_;
  double unk_score_;
  std::uint32_t unk_id_;  // kNone: there is none
  std::uint32_t max_id_;
  bool byte_fallback_;
  std::array<std::uint32_t, 256> byte_ids_{};  // of <0xNN>, or kNone
};

}  // namespace vecsmith
