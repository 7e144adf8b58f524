#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "vecsmith/search.hpp"

namespace vecsmith {

/// A score and a row in one number that is greater for what comes first: the higher score, of equal
/// ones the lower row. Scores are no NaN.
inline std::uint64_t key_of(float score, std::uint32_t row) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 is 0
  const std::uint32_t rising = bits >> 31U != 0 ? ~bits : bits | 0x80000000U;
  return std::uint64_t{rising} << 32U | std::uint64_t{~row};
}

inline float score_of(std::uint64_t key) {
  const auto rising = static_cast<std::uint32_t>(key >> 32U);
  return std::bit_cast<float>(rising >> 31U != 0 ? rising & 0x7FFFFFFFU : ~rising);
}

inline std::int64_t row_of(std::uint64_t key) {
  return std::int64_t{~static_cast<std::uint32_t>(key)};
}

/// The k best of what is pushed, rows in ascending order. Twice as many and some are kept and cut
/// back together, which is cheaper than a heap, for large k by far.
class Best {
 public:
  explicit Best(std::size_t k) : k_(k) {}

  /// A score must exceed this to matter.
  float threshold() const { return threshold_; }

  void push(float score, std::uint32_t row) {
    if (!(score > threshold_)) return;
    keys_.push_back(key_of(score, row));
    if (keys_.size() >= 2 * k_ + kSlack) cut();
  }

  /// Raises the threshold to what is known from elsewhere: rows of that score still matter.
  void raise(float reached) { threshold_ = std::max(threshold_, std::nextafter(reached, -kNone)); }

  /// The k-th best score, if there are k and they were cut back since.
  float reached() const { return reached_; }

  /// What was kept, in no order.
  const std::vector<std::uint64_t>& keys() const { return keys_; }

 private:
  static constexpr std::size_t kSlack = 48;
  static constexpr float kNone = std::numeric_limits<float>::infinity();

  void cut() {
    std::nth_element(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(k_ - 1),
                     keys_.end(), std::greater<>());
    keys_.resize(k_);
    reached_ = score_of(keys_[k_ - 1]);
    threshold_ = std::max(threshold_, reached_);
  }

  std::size_t k_;
  float threshold_ = -kNone;
  float reached_ = -kNone;
  std::vector<std::uint64_t> keys_;
};

/// Writes the best of `keys`, which lose their order, and fills up what is left over.
inline void write_best(std::vector<std::uint64_t>& keys, std::size_t k, std::int64_t* places,
                       float* scores) {
  const std::size_t n = std::min(k, keys.size());
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(n);
  if (n < keys.size()) std::nth_element(keys.begin(), end, keys.end(), std::greater<>());
  std::sort(keys.begin(), end, std::greater<>());
  for (std::size_t i = 0; i < n; ++i) {
    places[i] = row_of(keys[i]);
    scores[i] = score_of(keys[i]);
  }
  std::fill(places + n, places + k, std::int64_t{-1});
  std::fill(scores + n, scores + k, -std::numeric_limits<float>::infinity());
}

/// The same where a row may have come more than once.
inline void write_distinct(std::vector<std::uint64_t>& keys, std::size_t k, std::int64_t* places,
                           float* scores) {
  write_best(keys, k, places, scores);
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(std::min(k, keys.size()));
  if (std::adjacent_find(keys.begin(), end) == end) return;
  std::sort(keys.begin(), keys.end(), std::greater<>());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  write_best(keys, k, places, scores);
}

}  // namespace vecsmith
