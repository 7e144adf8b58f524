#include "vecsmith/row_gradients.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

#include "kernels/contrast.hpp"
#include "kernels/kernels.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

// Columns whose gradients are gathered together: those of a few thousand texts stay in the second
// level cache, and every kernel's accumulators divide it.
constexpr std::size_t kColumns = 256;
constexpr std::size_t kStretch = 512;   // texts that are added in a row, so sums do not drift
constexpr std::uint32_t kNever = 0xFFFFFFFFU;

}  // namespace

void check(const BagView& bag, std::size_t n_rows) {
  const auto offsets = bag.offsets;
  bool rising = !offsets.empty() && offsets.front() == 0 &&
                offsets.back() == static_cast<std::int64_t>(bag.ids.size());
  for (std::size_t i = 1; rising && i < offsets.size(); ++i) rising = offsets[i - 1] <= offsets[i];
  if (!rising) {
    throw std::out_of_range("offsets do not rise from 0 to the " + std::to_string(bag.ids.size()) +
                            " ids there are");
  }
  if (bag.ids.empty()) return;
  const std::uint32_t largest = std::ranges::max(bag.ids);
  if (largest >= n_rows) {
    throw std::out_of_range("token id " + std::to_string(largest) + " but the table has " +
                            std::to_string(n_rows) + " rows");
  }
}

TouchedRows::TouchedRows(std::span<const BagView> bags, std::size_t n_rows) : n_rows_(n_rows) {
  // A token that a text holds twice has one entry of twice the share.
  std::vector<std::uint32_t> last(n_rows);
  std::vector<std::vector<std::uint32_t>> counts;
  const auto each_token = [&last](const BagView& bag, const auto& first, const auto& again) {
    std::ranges::fill(last, kNever);
    for (std::size_t text = 0; text < bag.n_texts(); ++text) {
      const auto begin = static_cast<std::size_t>(bag.offsets[text]);
      const auto end = static_cast<std::size_t>(bag.offsets[text + 1]);
      const auto mark = static_cast<std::uint32_t>(text);
      const float share = 1.0F / static_cast<float>(std::max<std::size_t>(end - begin, 1));
      for (std::size_t i = begin; i < end; ++i) {
        const std::uint32_t id = bag.ids[i];
        if (last[id] == mark) {
          again(id, share);
        } else {
          last[id] = mark;
          first(id, mark, share);
        }
      }
    }
  };
  for (const BagView& bag : bags) {
    check(bag, n_rows);
    if (bag.n_texts() >= kNever) throw std::out_of_range("more texts than can be counted");
    n_texts_.push_back(bag.n_texts());
    auto& count = counts.emplace_back(n_rows);
    each_token(
        bag, [&](std::uint32_t id, std::uint32_t, float) { ++count[id]; },
        [](std::uint32_t, float) {});
  }
  for (std::size_t id = 0; id < n_rows; ++id) {
    const auto has = [id](const auto& count) { return count[id] != 0; };
    if (std::ranges::any_of(counts, has)) ids_.push_back(static_cast<std::int64_t>(id));
  }
  std::vector<std::size_t> next(n_rows);
  std::size_t n_entries = 0;
  for (std::size_t b = 0; b < bags.size(); ++b) {
    for (const std::int64_t id : ids_) {
      next[static_cast<std::size_t>(id)] = n_entries;
      n_entries += counts[b][static_cast<std::size_t>(id)];
      ends_.push_back(n_entries);
    }
    texts_.resize(n_entries);
    shares_.resize(n_entries);
    each_token(
        bags[b],
        [&](std::uint32_t id, std::uint32_t text, float share) {
          const std::size_t at = next[id]++;
          texts_[at] = text;
          shares_[at] = share;
        },
        [&](std::uint32_t id, float share) { shares_[next[id] - 1] += share; });
  }
}

TouchedRows::Stretch TouchedRows::stretch(std::size_t bag, std::size_t i) const {
  const std::size_t at = bag * ids_.size() + i;
  return {at == 0 ? 0 : ends_[at - 1], ends_[at]};
}

void TouchedRows::gather(std::span<const float* const> d_vectors, std::size_t dim,
                         const float* table, const float* token_weights, CpuLevel level,
                         std::size_t n_threads, const Out& out) const {
  const kernels::Kernels& sums = kernels::kernels_of(level);
  const kernels::ContrastKernels& loops = kernels::contrast_kernels_of(level);
  const std::size_t n_ids = ids_.size();
  const std::size_t n_blocks = (dim + kColumns - 1) / kColumns;
  std::vector<double> squares(n_blocks * n_ids);
  std::vector<double> products(token_weights == nullptr ? 0 : n_blocks * n_ids);
  // Block by block of columns, so each block's gradients are read while they are near.
  parallel_for(n_blocks * n_ids, 64, n_threads, [&](std::size_t item, std::size_t end) {
    std::array<float, kColumns> some;
    for (; item < end; ++item) {
      const std::size_t i = item % n_ids;
      const std::size_t column = item / n_ids * kColumns;
      const std::size_t width = std::min(kColumns, dim - column);
      float* const row = out.rows + i * dim + column;
      bool empty = true;
      for (std::size_t bag = 0; bag < d_vectors.size(); ++bag) {
        const auto [begin, last] = stretch(bag, i);
        for (std::size_t first = begin; first < last; first += kStretch) {
          const std::size_t n = std::min(kStretch, last - first);
          float* const to = empty ? row : some.data();
          sums.sum_f32(d_vectors[bag] + column, dim, texts_.data() + first, shares_.data() + first,
                       n, last - first, width, to);
          if (!empty) {
            for (std::size_t j = 0; j < width; ++j) row[j] += some[j];
          }
          empty = false;
        }
      }
      if (token_weights != nullptr) {
        const auto id = static_cast<std::size_t>(ids_[i]);
        products[item] = double{loops.dot(row, table + id * dim + column, width)};
        loops.scale(row, token_weights[id], width);
      }
      squares[item] = double{loops.sum_of_squares(row, width)};
    }
  });
  for (std::size_t i = 0; i < n_ids; ++i) {
    double square = 0.0;
    double product = 0.0;
    for (std::size_t block = 0; block < n_blocks; ++block) {
      square += squares[block * n_ids + i];
      if (token_weights != nullptr) product += products[block * n_ids + i];
    }
    if (token_weights != nullptr) out.weights[i] = static_cast<float>(product);
    out.squares[i] = square + product * product;
  }
}

}  // namespace vecsmith
