#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/ids.hpp"

namespace vecsmith {

/// Vocabulary and rules of a Unigram model; the id of a token is its place.
struct UnigramSettings {
  std::vector<std::string> tokens;  ///< UTF-8; a later one of the same spelling wins
  std::vector<double> scores;       ///< log probability of each token
  std::optional<std::uint32_t> unk_id;
  bool byte_fallback = false;  ///< what has no token becomes <0xNN> tokens
};

/// Words -> token ids by the most probable segmentation (Kudo, 2018, as in Hugging Face's Unigram).
class Unigram {
 public:
  /// Throws std::invalid_argument when the parts do not fit each other.
  explicit Unigram(const UnigramSettings& settings);

  /// Appends the ids of one word.
  void append(std::string_view word, IdBuffer& ids) const;

  /// Largest id this model emits.
  std::uint32_t max_id() const { return max_id_; }

 private:
  std::uint32_t max_id_ = 0;
};

}  // namespace vecsmith
