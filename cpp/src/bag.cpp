#include "vecsmith/bag.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/contrast.hpp"
#include "kernels/kernels.hpp"
#include "vecsmith/parallel.hpp"
#include "vecsmith/pool.hpp"

namespace vecsmith {

namespace {

// Columns that are gathered together. The frequent rows' stay in the second level cache, where rows
// that lie 4 kB apart in a table of 1024 dimensions would share few of its sets.
constexpr std::size_t kColumns = 128;
constexpr std::size_t kLongText = std::size_t{1} << 16;  // tokens; above, sums are gathered
constexpr std::size_t kFewUses = 4;  // tokens a row below which copying it does not pay

// Places of a batch's rows, the most frequent first, and the place of each token's row.
struct Places {
  std::vector<std::uint32_t> rows;
  std::vector<std::uint32_t> of_token;
};

Places places_of(const BagView& bag, std::size_t n_rows) {
  std::vector<std::uint32_t> counts(n_rows);
  for (const std::uint32_t id : bag.ids) ++counts[id];
  Places places;
  for (std::uint32_t id = 0; id < n_rows; ++id) {
    if (counts[id] != 0) places.rows.push_back(id);
  }
  std::ranges::stable_sort(places.rows, std::ranges::greater{},
                           [&counts](std::uint32_t id) { return counts[id]; });
  std::vector<std::uint32_t>& place = counts;
  for (std::size_t i = 0; i < places.rows.size(); ++i) {
    place[places.rows[i]] = static_cast<std::uint32_t>(i);
  }
  places.of_token.resize(bag.ids.size());
  std::ranges::transform(bag.ids, places.of_token.begin(),
                         [&place](std::uint32_t id) { return place[id]; });
  return places;
}

// The same where nothing is gained by copies: straight from the table.
void pool_means(const RowsView& table, const BagView& bag, CpuLevel level, std::size_t n_threads,
                float* out) {
  TableView view{table.rows, RowType::kFloat32, table.n_rows, table.dim};
  view.weights = table.token_weights;
  view.n_tokens = table.n_rows;
  const Pooler pooler(view, level);
  parallel_for(bag.n_texts(), 64, n_threads, [&](std::size_t text, std::size_t end) {
    Pooler::Scratch scratch;
    std::vector<std::size_t> ends;
    const auto first = static_cast<std::size_t>(bag.offsets[text]);
    const auto last = static_cast<std::size_t>(bag.offsets[end]);
    for (std::size_t i = text; i < end; ++i) {
      ends.push_back(static_cast<std::size_t>(bag.offsets[i + 1]) - first);
    }
    pooler.pool(bag.ids.subspan(first, last - first), ends, {table.dim, false}, scratch,
                out + text * table.dim);
  });
}

bool has_long_text(const BagView& bag) {
  for (std::size_t i = 0; i < bag.n_texts(); ++i) {
    if (bag.offsets[i + 1] - bag.offsets[i] > static_cast<std::int64_t>(kLongText)) return true;
  }
  return false;
}

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

void mean_rows(const RowsView& table, const BagView& bag, CpuLevel level, std::size_t n_threads,
               MemoryPool& pool, float* out) {
  check(bag, table.n_rows);
  const Places places = places_of(bag, table.n_rows);
  const std::size_t n_used = places.rows.size();
  if (bag.ids.size() < kFewUses * n_used || has_long_text(bag)) {
    return pool_means(table, bag, level, n_threads, out);
  }
  const kernels::Kernels& sums = kernels::kernels_of(level);
  const kernels::ContrastKernels& loops = kernels::contrast_kernels_of(level);
  PooledArray<float> block(pool, n_used * kColumns);
  for (std::size_t column = 0; column < table.dim; column += kColumns) {
    const std::size_t width = std::min(kColumns, table.dim - column);
    parallel_for(n_used, 256, n_threads, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const std::size_t id = places.rows[i];
        float* const to = block.data() + i * kColumns;
        std::copy_n(table.rows + id * table.dim + column, width, to);
        if (table.token_weights != nullptr) loops.scale(to, table.token_weights[id], width);
      }
    });
    parallel_for(bag.n_texts(), 64, n_threads, [&](std::size_t text, std::size_t end) {
      for (; text < end; ++text) {
        const auto first = static_cast<std::size_t>(bag.offsets[text]);
        const std::size_t n = static_cast<std::size_t>(bag.offsets[text + 1]) - first;
        float* const to = out + text * table.dim + column;
        sums.sum_f32(block.data(), kColumns, places.of_token.data() + first, nullptr, n,
                     bag.ids.size() - first, width, to);
        if (n < 2) continue;
        const auto count = static_cast<float>(n);
        for (std::size_t j = 0; j < width; ++j) to[j] /= count;
      }
    });
  }
}

}  // namespace vecsmith
