#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "vecsmith/bpe.hpp"
#include "vecsmith/ids.hpp"
#include "word_cache.hpp"

namespace vecsmith {

/// The ids of the words of a window. Those that the cache knows are found at once; where it lacks a
/// word there is a gap, and all gaps are filled together: words that merge side by side wait for
/// memory together.
class WindowIds {
 public:
  /// How far the ids of a window have come.
  struct Mark {
    std::size_t n_known = 0, n_gaps = 0;
  };

  void clear() {
    known_.set_size(0);
    gaps_.clear();
    missing_.clear();
  }

  /// Looks up words [first, last) of `window`, which must stay until fill() is through.
  void look_up(const kernels::Kernels& kernels, const unsigned char* window,
               const kernels::WordProbes& probes, std::size_t first, std::size_t last,
               const WordCache& cache) {
    look_up_words(kernels, window, probes, first, last, known_, [&](std::string_view word) {
      if (cache.append(word, known_)) return;
      gaps_.push_back(known_.size());
      missing_.push_back(word);
    });
  }

  Mark mark() const { return {known_.size(), gaps_.size()}; }

  /// Finds what belongs into the gaps, and has the cache remember it.
  void fill(const Bpe& model, WordCache& cache) {
    merged_.set_size(0);
    merged_ends_.assign(1, 0);
    model.append_all(missing_, merged_, merged_ends_);
    for (std::size_t i = 0; i < missing_.size(); ++i) {
      cache.insert(missing_[i].data(), missing_[i].size(), ids_of(i));
    }
  }

  /// Appends the ids from one mark to another, once gaps are filled.
  void append(Mark from, Mark to, IdBuffer& ids) const {
    std::size_t at = from.n_known;
    for (std::size_t gap = from.n_gaps; gap < to.n_gaps; ++gap) {
      ids.append(known_.slice(at, gaps_[gap]));
      ids.append(ids_of(gap));
      at = gaps_[gap];
    }
    ids.append(known_.slice(at, to.n_known));
  }

 private:
  std::span<const std::uint32_t> ids_of(std::size_t gap) const {
    return merged_.slice(merged_ends_[gap], merged_ends_[gap + 1]);
  }

  IdBuffer known_;
  std::vector<std::size_t> gaps_;  // where in `known_`
  std::vector<std::string_view> missing_;
  IdBuffer merged_;
  std::vector<std::size_t> merged_ends_;  // a 0 before them
};

}  // namespace vecsmith
