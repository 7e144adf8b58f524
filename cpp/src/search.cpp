#include "vecsmith/search.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "search_best.hpp"
#include "search_queries.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

using kernels::Affine;
using kernels::kGroup;
using kernels::RowsAt;
using kernels::SearchKernels;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// From so many queries on they are taken in groups; fewer read a block of rows one by one.
constexpr std::size_t kFewestGrouped = 4;
// From so many on rows of float32 are worth a copy that begins at cache lines.
constexpr std::size_t kFewestAligned = 64;
// A block's rows stay in the second level cache; of the queries that go over the rows together only
// a group at a time is needed there, and the more they are the less often rows are read.
constexpr std::size_t kQueryBytes = std::size_t{1} << 20;
constexpr std::size_t kBlockBytes = std::size_t{128} << 10;
constexpr std::size_t kMostQueries = 1024;
constexpr std::size_t kMostBlockRows = 1024;
constexpr std::size_t kMostGroupedRows = 256;  // their scores stay in the first level cache
constexpr std::size_t kMostKeptBytes = std::size_t{64} << 20;
// Rows of less than this are not worth another thread.
constexpr std::size_t kLeastPartBytes = std::size_t{1} << 20;

void check(const SearchQueries& queries, const SearchedRows& rows, std::size_t k) {
  if (k == 0) throw std::invalid_argument("k is 0, expected 1 or more");
  if (rows.dim == 0 || rows.dim > kMostSearchDims) {
    throw std::invalid_argument("rows of " + std::to_string(rows.dim) +
                                " dimensions, expected 1 to " + std::to_string(kMostSearchDims));
  }
  const std::size_t n_bytes = row_bytes(rows.type, rows.dim);
  if (rows.n_rows > 1 && rows.stride < n_bytes) {
    throw std::invalid_argument("rows are " + std::to_string(rows.stride) +
                                " bytes apart, expected at least the " + std::to_string(n_bytes) +
                                " of " + std::to_string(rows.dim) + " dimensions");
  }
  if (rows.n_rows > std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument(std::to_string(rows.n_rows) +
                                " rows, expected fewer than 2^32: search them in parts");
  }
  if (queries.n > 1 && queries.stride < rows.dim) {
    throw std::invalid_argument("queries of " + std::to_string(queries.stride) +
                                " dimensions for rows of " + std::to_string(rows.dim));
  }
}

Affine affine_of(const SearchedRows& rows, std::size_t first) {
  return {rows.factors == nullptr ? nullptr : rows.factors + first,
          rows.offsets == nullptr ? nullptr : rows.offsets + first};
}

const std::uint8_t* row_at(const SearchedRows& rows, std::size_t n) {
  return static_cast<const std::uint8_t*>(rows.values) + n * rows.stride;
}

// Working memory of one thread for blocks of at most `n_rows` rows.
class Room {
 public:
  Room(std::size_t n_rows, std::size_t n_scores)
      : dots_(n_scores + 16),
        whole_(n_scores + 16),
        positions_(n_scores + 16),
        scores_(n_scores + 16),
        factors_(n_rows),
        offsets_(n_rows) {}

  PreparedQueries::Room of_dots() {
    return {dots_.data(), whole_.data(), positions_.data(), scores_.data()};
  }

  // Factors and offsets of some rows.
  Affine gathered(const Affine& affine, const std::vector<std::uint32_t>& places) {
    const std::size_t n = places.size();
    for (std::size_t i = 0; affine.factors != nullptr && i < n; ++i) {
      factors_.data()[i] = affine.factors[places[i]];
    }
    for (std::size_t i = 0; affine.offsets != nullptr && i < n; ++i) {
      offsets_.data()[i] = affine.offsets[places[i]];
    }
    return {affine.factors == nullptr ? nullptr : factors_.data(),
            affine.offsets == nullptr ? nullptr : offsets_.data()};
  }

 private:
  AlignedArray<float> dots_;
  AlignedArray<std::int32_t> whole_;
  AlignedArray<std::uint32_t> positions_;
  AlignedArray<float> scores_;
  AlignedArray<float> factors_;
  AlignedArray<float> offsets_;
};

// Scores that the k best of a query are known to reach, shared by threads that search other rows.
class Reached {
 public:
  explicit Reached(std::size_t n_queries) : scores_(n_queries) {
    for (std::atomic<float>& score : scores_) score.store(-kInfinity, std::memory_order_relaxed);
  }

  float operator[](std::size_t q) const { return scores_[q].load(std::memory_order_relaxed); }

  void raise(std::size_t q, float reached) {
    float known = (*this)[q];
    while (reached > known &&
           !scores_[q].compare_exchange_weak(known, reached, std::memory_order_relaxed)) {
    }
  }

 private:
  std::vector<std::atomic<float>> scores_;
};

// The rows of a block that are looked at.
struct Block {
  std::size_t first = 0;
  std::size_t n = 0;                      // rows that are scored
  const std::uint8_t* allowed = nullptr;  // of the block's rows, to be asked of what is found
  const std::vector<std::uint32_t>* places = nullptr;  // in the block; null for all
};

// Some queries over some rows.
class Scan {
 public:
  Scan(const SearchQueries& queries, std::size_t first, std::size_t n, const SearchedRows& rows,
       const SearchKernels& loops, std::size_t k, Reached* reached)
      : rows_(rows),
        loops_(loops),
        grouped_(n >= kFewestGrouped),
        queries_(queries, first, n, rows.type, rows.dim, grouped_),
        first_query_(first),
        reached_(reached),
        block_rows_(std::clamp(kBlockBytes / row_bytes(rows.type, rows.dim) / 32 * 32,
                               std::size_t{32}, grouped_ ? kMostGroupedRows : kMostBlockRows)),
        room_(block_rows_, block_rows_ * (grouped_ ? kGroup : 1)),
        best_(n, Best(k)) {
    const bool is_half = rows.type == VectorType::kFloat16;
    padded_bytes_ =
        row_bytes(is_half ? VectorType::kFloat32 : rows.type,
                  rows.type == VectorType::kBits ? rounded_up(rows.dim, kernels::kWordBits)
                                                 : padded_dim(rows.type, rows.dim));
    copies_ = is_half || padded_bytes_ != row_bytes(rows.type, rows.dim) ||
              (rows.type == VectorType::kBits && rows.dim % 8 != 0) ||
              (rows.type == VectorType::kFloat32 && n >= kFewestAligned);
  }

  void run(std::size_t begin, std::size_t end, const std::uint8_t* allowed) {
    for (std::size_t first = begin; first < end; first += block_rows_) {
      Block block{first, std::min(block_rows_, end - first)};
      if (allowed != nullptr && !choose(allowed + first, block)) continue;
      take_known();
      if (grouped_) {
        scan_groups(block);
      } else {
        scan_each(block);
      }
      tell_reached();
    }
  }

  const std::vector<Best>& best() const { return best_; }

 private:
  // Leaves out what is not allowed: row by row where that is most, else of what is found.
  bool choose(const std::uint8_t* allowed, Block& block) {
    places_.clear();
    for (std::size_t i = 0; i < block.n; ++i) {
      if (allowed[i] != 0) places_.push_back(static_cast<std::uint32_t>(i));
    }
    if (places_.size() == block.n) return true;
    if (places_.size() * 2 > block.n) {
      block.allowed = allowed;
    } else {
      block.places = &places_;
      block.n = places_.size();
    }
    return block.n != 0;
  }

  void take_known() {
    if (reached_ == nullptr) return;
    for (std::size_t q = 0; q < best_.size(); ++q) best_[q].raise((*reached_)[first_query_ + q]);
  }

  void tell_reached() {
    if (reached_ == nullptr) return;
    for (std::size_t q = 0; q < best_.size(); ++q) {
      reached_->raise(first_query_ + q, best_[q].reached());
    }
  }

  Affine affine_of_block(const Block& block) {
    const Affine affine = affine_of(rows_, block.first);
    return block.places == nullptr ? affine : room_.gathered(affine, *block.places);
  }

  void push(Best& best, const Block& block, std::size_t i, float score) const {
    if (block.allowed != nullptr && block.allowed[i] == 0) return;
    const std::size_t place = block.places == nullptr ? i : (*block.places)[i];
    best.push(score, static_cast<std::uint32_t>(block.first + place));
  }

  void scan_each(const Block& block) {
    const RowsAt at{row_at(rows_, block.first), rows_.stride,
                    block.places == nullptr ? nullptr : block.places->data()};
    const Affine affine = affine_of_block(block);
    const PreparedQueries::Room room = room_.of_dots();
    for (std::size_t q = 0; q < best_.size(); ++q) {
      const std::size_t n_kept =
          queries_.keep(loops_, q, at, block.n, affine, best_[q].threshold(), room);
      for (std::size_t i = 0; i < n_kept; ++i) {
        push(best_[q], block, room.positions[i], room.scores[i]);
      }
    }
  }

  void scan_groups(const Block& block) {
    const std::uint8_t* values = row_at(rows_, block.first);
    std::size_t stride = rows_.stride;
    if (copies_ || block.places != nullptr) {
      copy_rows(block);
      values = copied_.data();
      stride = padded_bytes_;
    }
    const Affine affine = affine_of_block(block);
    const PreparedQueries::Room room = room_.of_dots();
    for (std::size_t g = 0; g * kGroup < best_.size(); ++g) {
      Best* const best = best_.data() + g * kGroup;
      const std::size_t n_queries = std::min(kGroup, best_.size() - g * kGroup);
      float thresholds[kGroup];
      for (std::size_t q = 0; q < kGroup; ++q) {
        thresholds[q] = q < n_queries ? best[q].threshold() : kInfinity;
      }
      const std::size_t n_kept =
          queries_.keep_group(loops_, g, values, stride, block.n, affine, thresholds, room);
      for (std::size_t i = 0; i < n_kept; ++i) {
        const std::size_t at = room.positions[i];
        push(best[at % kGroup], block, at / kGroup, room.scores[i]);
      }
    }
  }

  // Rows as the kernels of groups want them: one behind the other, padded, halves widened.
  void copy_rows(const Block& block) {
    if (copied_.size() == 0) copied_ = AlignedArray<std::uint8_t>(block_rows_ * padded_bytes_);
    const std::size_t n_bytes = row_bytes(rows_.type, rows_.dim);
    for (std::size_t i = 0; i < block.n; ++i) {
      const std::size_t place = block.places == nullptr ? i : (*block.places)[i];
      const std::uint8_t* const row = row_at(rows_, block.first + place);
      std::uint8_t* const out = copied_.data() + i * padded_bytes_;
      if (rows_.type == VectorType::kFloat16) {
        loops_.widen(row, rows_.dim, reinterpret_cast<float*>(out));
        continue;
      }
      std::copy(row, row + n_bytes, out);
      if (rows_.type == VectorType::kBits && rows_.dim % 8 != 0) {
        out[n_bytes - 1] &= static_cast<std::uint8_t>((1U << rows_.dim % 8) - 1);
      }
    }
  }

  const SearchedRows& rows_;
  const SearchKernels& loops_;
  bool grouped_;
  PreparedQueries queries_;
  std::size_t first_query_;
  Reached* reached_;
  std::size_t block_rows_;
  Room room_;
  std::vector<Best> best_;
  std::size_t padded_bytes_ = 0;
  bool copies_ = false;
  AlignedArray<std::uint8_t> copied_;
  std::vector<std::uint32_t> places_;
};

// How many queries go over the rows together, and into how many parts the rows are cut.
struct Cut {
  std::size_t n_queries;
  std::size_t n_parts;
  std::size_t part_rows;
};

Cut cut_of(const SearchQueries& queries, const SearchedRows& rows, std::size_t k,
           std::size_t n_threads) {
  const std::size_t query_bytes =
      row_bytes(rows.type == VectorType::kFloat16 ? VectorType::kFloat32 : rows.type, rows.dim);
  std::size_t n = std::clamp(kQueryBytes / query_bytes, kGroup, kMostQueries);
  n = std::min(n, (queries.n + n_threads - 1) / n_threads);
  n = std::min(n, std::max<std::size_t>(kMostKeptBytes / 16 / k, 1));
  if (n > kGroup) n = rounded_up(n, kGroup);
  n = std::min(std::max(n, std::min(queries.n, kGroup)), queries.n);
  const std::size_t n_blocks = (queries.n + n - 1) / n;
  std::size_t n_parts = 1;
  if (n_blocks < n_threads) {
    const std::size_t n_bytes = rows.n_rows * row_bytes(rows.type, rows.dim);
    n_parts = std::clamp<std::size_t>(n_bytes / kLeastPartBytes, 1,
                                      (4 * n_threads + n_blocks - 1) / n_blocks);
  }
  const std::size_t part_rows = std::max<std::size_t>((rows.n_rows + n_parts - 1) / n_parts, 1);
  return {n, std::max<std::size_t>((rows.n_rows + part_rows - 1) / part_rows, 1), part_rows};
}

}  // namespace

void top_k(const SearchQueries& queries, const SearchedRows& rows, const std::uint8_t* allowed,
           CpuLevel level, std::size_t n_threads, const SearchResults& out) {
  check(queries, rows, out.k);
  if (queries.n == 0) return;
  const SearchKernels& loops = kernels::search_kernels_of(level);
  const std::size_t k = std::clamp<std::size_t>(rows.n_rows, 1, out.k);
  const Cut cut = cut_of(queries, rows, k, std::max<std::size_t>(n_threads, 1));
  const std::size_t n_blocks = (queries.n + cut.n_queries - 1) / cut.n_queries;
  Reached reached(cut.n_parts > 1 ? queries.n : 0);
  // keys of each query, from each part of the rows
  std::vector<std::vector<std::uint64_t>> found(cut.n_parts > 1 ? queries.n * cut.n_parts : 0);
  parallel_for(n_blocks * cut.n_parts, 1, n_threads, [&](std::size_t item, std::size_t) {
    const std::size_t part = item % cut.n_parts;
    const std::size_t first = item / cut.n_parts * cut.n_queries;
    const std::size_t n = std::min(cut.n_queries, queries.n - first);
    Scan scan(queries, first, n, rows, loops, k, cut.n_parts > 1 ? &reached : nullptr);
    scan.run(part * cut.part_rows, std::min((part + 1) * cut.part_rows, rows.n_rows), allowed);
    for (std::size_t q = 0; q < n; ++q) {
      std::vector<std::uint64_t> keys = scan.best()[q].keys();
      if (cut.n_parts > 1) {
        found[(first + q) * cut.n_parts + part] = std::move(keys);
      } else {
        const std::size_t at = (first + q) * out.k;
        write_best(keys, out.k, out.places + at, out.scores + at);
      }
    }
  });
  if (cut.n_parts == 1) return;
  for (std::size_t q = 0; q < queries.n; ++q) {
    std::vector<std::uint64_t> keys;
    for (std::size_t part = 0; part < cut.n_parts; ++part) {
      const std::vector<std::uint64_t>& some = found[q * cut.n_parts + part];
      keys.insert(keys.end(), some.begin(), some.end());
    }
    write_best(keys, out.k, out.places + q * out.k, out.scores + q * out.k);
  }
}

void rescore(const SearchQueries& queries, const SearchedRows& rows, const std::int64_t* candidates,
             std::size_t n_candidates, CpuLevel level, std::size_t n_threads,
             const SearchResults& out) {
  check(queries, rows, out.k);
  const SearchKernels& loops = kernels::search_kernels_of(level);
  for (std::size_t i = 0; i < queries.n * n_candidates; ++i) {
    const std::int64_t row = candidates[i];
    if (row < -1 || (row >= 0 && static_cast<std::size_t>(row) >= rows.n_rows)) {
      throw std::out_of_range("candidate " + std::to_string(row) + " of query " +
                              std::to_string(i / n_candidates) + ", expected -1 or a row below " +
                              std::to_string(rows.n_rows));
    }
  }
  const RowsAt all{static_cast<const std::uint8_t*>(rows.values), rows.stride, nullptr};
  parallel_for(queries.n, 8, n_threads, [&](std::size_t q, std::size_t end) {
    Room room(n_candidates, n_candidates);
    std::vector<std::uint32_t> places;
    std::vector<std::uint64_t> keys;
    for (; q < end; ++q) {
      places.clear();
      for (std::size_t i = 0; i < n_candidates; ++i) {
        const std::int64_t row = candidates[q * n_candidates + i];
        if (row >= 0) places.push_back(static_cast<std::uint32_t>(row));
      }
      const PreparedQueries prepared(queries, q, 1, rows.type, rows.dim, false);
      const PreparedQueries::Room dots = room.of_dots();
      const RowsAt at{all.first, all.stride, places.data()};
      const std::size_t n = prepared.keep(
          loops, 0, at, places.size(), room.gathered(affine_of(rows, 0), places), -kInfinity, dots);
      keys.clear();
      for (std::size_t i = 0; i < n; ++i) {
        keys.push_back(key_of(dots.scores[i], places[dots.positions[i]]));
      }
      write_distinct(keys, out.k, out.places + q * out.k, out.scores + q * out.k);
    }
  });
}

void prefix_squares(const SearchedRows& rows, std::span<const std::size_t> dims, CpuLevel level,
                    std::size_t n_threads, float* out) {
  const bool is_half = rows.type == VectorType::kFloat16;
  if (!is_half && rows.type != VectorType::kFloat32) {
    throw std::invalid_argument("squares of rows that are not float32 or float16");
  }
  if (dims.empty()) return;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] > (i == 0 ? 0 : dims[i - 1])) continue;
    throw std::invalid_argument("prefix of " + std::to_string(dims[i]) +
                                " dimensions, expected 1 or more, ascending");
  }
  SearchedRows longest = rows;
  longest.dim = dims.back();
  check({}, longest, 1);
  const SearchKernels& loops = kernels::search_kernels_of(level);
  parallel_for(rows.n_rows, 256, n_threads, [&](std::size_t n, std::size_t end) {
    AlignedArray<float> row(padded_dim(rows.type, longest.dim));
    const RowsAt at{reinterpret_cast<const std::uint8_t*>(row.data()), 0, nullptr};
    for (; n < end; ++n) {
      if (is_half) {
        loops.widen(row_at(rows, n), longest.dim, row.data());
      } else {
        std::memcpy(row.data(), row_at(rows, n), longest.dim * sizeof(float));
      }
      std::size_t filled = longest.dim;
      for (std::size_t i = dims.size(); i-- > 0;) {
        std::fill(row.data() + dims[i], row.data() + filled, 0.0F);
        filled = dims[i];
        loops.dots_f32(row.data(), dims[i], at, 1, out + i * rows.n_rows + n);
      }
    }
  });
}

}  // namespace vecsmith
