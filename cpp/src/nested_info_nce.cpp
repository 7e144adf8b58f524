#include "vecsmith/nested_info_nce.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "contrast_products.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

constexpr std::size_t kGroup = 32;       // rows whose share of the column sums is gathered together
constexpr std::size_t kBlockRows = 192;  // a multiple of 96, which every kernel's tile divides
constexpr std::size_t kLeastRows = 96;
constexpr std::size_t kPlaneBytes = std::size_t{64} << 20;
constexpr float kFar = 1e30F;
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
constexpr double kLongest = 1e18;  // dot products of longer vectors would reach kExcludedDot

std::size_t rounded_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void check(const NestedContrast& contrast) {
  const auto& [queries, candidates] = std::tie(contrast.queries, contrast.candidates);
  if (queries.n_rows == 0 || queries.n_rows > candidates.n_rows) {
    refuse(std::to_string(queries.n_rows) + " queries and " + std::to_string(candidates.n_rows) +
           " candidates, expected at least one query and a candidate for each");
  }
  if (queries.dim != candidates.dim) {
    refuse("queries of " + std::to_string(queries.dim) + " dimensions and candidates of " +
           std::to_string(candidates.dim));
  }
  const auto lengths = contrast.lengths;
  if (lengths.empty() || lengths.size() != contrast.weights.size()) {
    refuse(std::to_string(lengths.size()) + " prefix lengths and " +
           std::to_string(contrast.weights.size()) + " weights, expected as many, at least one");
  }
  std::size_t shorter = 0;
  for (const std::size_t length : lengths) {
    if (length <= shorter || length > queries.dim) {
      refuse("prefix length " + std::to_string(length) + " after " + std::to_string(shorter) +
             ", expected lengths that rise to at most " + std::to_string(queries.dim));
    }
    shorter = length;
  }
  if (!(contrast.temperature > 0.0F) || !std::isfinite(contrast.temperature)) {
    refuse("temperature " + std::to_string(contrast.temperature) + ", expected a positive number");
  }
  const bool keyed = !contrast.query_keys.empty() || !contrast.candidate_keys.empty();
  if (keyed && (contrast.query_keys.size() != queries.n_rows ||
                contrast.candidate_keys.size() != candidates.n_rows)) {
    refuse(std::to_string(contrast.query_keys.size()) + " keys of queries and " +
           std::to_string(contrast.candidate_keys.size()) + " of candidates, expected " +
           std::to_string(queries.n_rows) + " and " + std::to_string(candidates.n_rows));
  }
}

// Candidates that are no negatives of a query: those that equal a text of its pair, or belong to a
// query that does. A few keys over and over would make lists for each query B x C long, so there is
// one list for each key.
class Exclusions {
 public:
  explicit Exclusions(const NestedContrast& contrast) {
    const auto queries = contrast.query_keys;
    const auto candidates = contrast.candidate_keys;
    if (queries.empty()) return;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto place = static_cast<std::uint32_t>(c);
      places_.emplace_back(candidates[c], place);
      if (c < queries.size()) places_.emplace_back(queries[c], place);
    }
    std::ranges::sort(places_);
    const auto found = [this](std::int64_t key) {
      const auto range = std::ranges::equal_range(places_, key, {}, &Place::first);
      return std::span<const Place>(range.begin(), range.end());
    };
    for (std::size_t q = 0; q < queries.size(); ++q) {
      of_.push_back({found(queries[q]), found(candidates[q])});
    }
  }

  /// Marks what is excluded in a row of dot products.
  void mark(std::size_t query, float* dots) const {
    if (of_.empty()) return;
    const float own = dots[query];
    for (const auto& places : of_[query]) {
      for (const auto& [key, place] : places) dots[place] = kernels::kExcludedDot;
    }
    dots[query] = own;
  }

 private:
  using Place = std::pair<std::int64_t, std::uint32_t>;
  std::vector<Place> places_;
  std::vector<std::array<std::span<const Place>, 2>> of_;
};

// Inverse norms of all prefixes of one side: [n_prefixes, stride], zeros behind the last, not a
// number where a vector is too long.
struct InverseNorms {
  std::vector<float> values;
  std::size_t stride;

  InverseNorms(const VectorsView& vectors, std::span<const std::size_t> lengths, std::size_t stride,
               const kernels::ContrastKernels& kernels, std::size_t n_threads)
      : values(lengths.size() * stride), stride(stride) {
    parallel_for(vectors.n_rows, 64, n_threads, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        double squares = 0.0;
        std::size_t begin = 0;
        for (std::size_t k = 0; k < lengths.size(); ++k) {
          squares += double{
              kernels.sum_of_squares(vectors.values + i * vectors.dim + begin, lengths[k] - begin)};
          begin = lengths[k];
          const double inverse = squares > 0.0 ? 1.0 / std::sqrt(squares) : squares;
          const bool fits = !(squares > kLongest * kLongest);
          values[k * stride + i] = fits ? static_cast<float>(inverse) : kNotANumber;
        }
      }
    });
  }
  const float* of(std::size_t k) const { return values.data() + k * stride; }
};

// A pair's part in a soft-max. With p near 1, as in a batch that is learnt already, p - 1 of
// rounded numbers is nothing but their rounding, and Adam makes full steps of gradients however
// small; so it is made of what stands beside the pair, none of which it can round away. `beside` is
// the logarithm of the others' sum over the pair's own power, all to the base of 2.
struct PairShare {
  double beside;

  PairShare(float highest, double sum, float own)
      : beside(double{highest} + std::log2(sum) - double{own}) {}
  /// Gradient of the loss for the pair's logit: p - 1.
  double gradient() const { return -1.0 / (1.0 + std::exp2(-beside)); }
  /// -log2(p)
  double loss() const {
    return std::max(beside, 0.0) + std::log1p(std::exp2(-std::abs(beside))) * std::numbers::log2e;
  }
};

// What a thread-independent group of rows adds to the sums over columns.
struct ColumnParts {
  std::vector<float> values;  ///< [n_groups, n_prefixes, stride]
  std::size_t n_prefixes, stride;

  ColumnParts(std::size_t n_groups, std::size_t n_prefixes, std::size_t stride)
      : values(n_groups * n_prefixes * stride), n_prefixes(n_prefixes), stride(stride) {}
  float* of(std::size_t group, std::size_t k) {
    return values.data() + (group * n_prefixes + k) * stride;
  }
};

class Batch {
 public:
  Batch(const NestedContrast& contrast, CpuLevel level, std::size_t n_threads, MemoryPool& pool)
      : contrast_(contrast),
        kernels_(kernels::contrast_kernels_of(level)),
        n_threads_(n_threads),
        n_prefixes_(contrast.lengths.size()),
        block_rows_(block_rows_of(contrast)),
        products_(products_of(contrast, level, block_rows_, n_threads, pool)),
        n_columns_(rounded_up(contrast.candidates.n_rows, products_->column_unit())),
        stride_(n_columns_ + 48),
        planes_{{pool, n_prefixes_ * block_rows_ * stride_}, block_rows_, stride_},
        query_scales_(contrast.queries, contrast.lengths, contrast.queries.n_rows, kernels_,
                      n_threads),
        candidate_scales_(contrast.candidates, contrast.lengths, stride_, kernels_, n_threads),
        exclusions_(contrast),
        parts_(block_rows_ / kGroup, n_prefixes_, stride_),
        pulls_(n_prefixes_ * stride_),
        query_pulls_(n_prefixes_ * block_rows_) {
    std::fill_n(planes_.values.data(), planes_.values.size(), 0.0F);
  }

  double run(float* d_queries, float* d_candidates) {
    if (contrast_.both_directions) gather_column_totals();
    std::vector<double> losses(contrast_.queries.n_rows);
    each_block([&](std::size_t first, std::size_t n_rows) {
      each_group(n_rows, [&](std::size_t group, std::size_t r, std::size_t end) {
        for (std::size_t k = 0; k < n_prefixes_; ++k)
          std::fill_n(parts_.of(group, k), stride_, 0.F);
        for (; r < end; r += 2) {
          losses[first + r] = row(first + r, r, group);
          if (r + 1 < n_rows) {
            losses[first + r + 1] = row(first + r + 1, r + 1, group);
          } else {
            clear_row(r + 1);
          }
          products_->keep(r, planes_);
        }
      });
      clear_tail(n_rows);
      add_pulls(n_rows);
      parallel_for(products_->n_back_tasks(), 1, n_threads_,
                   [&](std::size_t i, std::size_t end) { products_->back(i, end, planes_); });
      write_queries(first, n_rows, d_queries);
    });
    write_candidates(d_candidates);
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }

 private:
  static std::size_t block_rows_of(const NestedContrast& contrast) {
    const std::size_t row_bytes = contrast.lengths.size() * contrast.candidates.n_rows * 4;
    const std::size_t fitting = kPlaneBytes / row_bytes / kLeastRows * kLeastRows;
    return std::min(std::clamp(fitting, kLeastRows, kBlockRows),
                    rounded_up(contrast.queries.n_rows, kLeastRows));
  }

  static std::unique_ptr<ContrastProducts> products_of(const NestedContrast& contrast,
                                                       CpuLevel level, std::size_t block_rows,
                                                       std::size_t n_threads, MemoryPool& pool) {
#ifdef VECSMITH_AMX
    if (contrast.bfloat16 && level == CpuLevel::kAmx) {
      return tile_products(contrast, block_rows, n_threads, pool);
    }
#endif
    return float_products(contrast, level, block_rows, n_threads, pool);
  }

  // Dot products of one block after the other.
  template <typename Work>
  void each_block(const Work& work) {
    const std::size_t n_queries = contrast_.queries.n_rows;
    for (std::size_t first = 0; first < n_queries; first += block_rows_) {
      const std::size_t n_rows = std::min(block_rows_, n_queries - first);
      products_->open(first, n_rows, n_threads_);
      parallel_for(products_->n_dots_tasks(), 1, n_threads_,
                   [&](std::size_t i, std::size_t end) { products_->dots(i, end, planes_); });
      each_group(n_rows, [&](std::size_t, std::size_t r, std::size_t end) {
        for (; r < std::min(end, n_rows); ++r) exclude(first + r, r);
      });
      work(first, n_rows);
    }
  }

  template <typename Work>
  void each_group(std::size_t n_rows, const Work& work) {
    const std::size_t n_groups = (n_rows + kGroup - 1) / kGroup;
    parallel_for(n_groups, 1, n_threads_, [&](std::size_t group, std::size_t end) {
      for (; group < end; ++group) {
        work(group, group * kGroup, std::min(n_rows, (group + 1) * kGroup));
      }
    });
  }

  void exclude(std::size_t query, std::size_t r) {
    for (std::size_t k = 0; k < n_prefixes_; ++k) {
      float* const dots = planes_.row(k, r);
      std::fill(dots + contrast_.candidates.n_rows, dots + n_columns_, kernels::kExcludedDot);
      exclusions_.mark(query, dots);
    }
  }

  // A row's loss; its dot products become their gradients.
  double row(std::size_t query, std::size_t r, std::size_t group) {
    double loss = 0.0;
    for (std::size_t k = n_prefixes_; k-- > 0;) {
      const float scale = query_scales_.of(k)[query];
      const float factor = scale * to_logit();
      const float* const scales = candidate_scales_.of(k);
      float* const dots = planes_.row(k, r);
      const float own = dots[query] * factor * scales[query];
      dots[query] = kernels::kExcludedDot;  // the kernels see to the others
      const float highest = kernels_.highest(dots, scales, factor, n_columns_);
      const float sum = kernels_.sum_of_powers(dots, scales, factor, highest, n_columns_);
      const PairShare in_row(highest, sum, own);
      const float each = contrast_.weights[k] / static_cast<float>(contrast_.queries.n_rows);
      const float share = contrast_.both_directions ? each / 2.0F : each;
      double asked = double{share} * in_row.gradient();
      loss += double{share} * in_row.loss();
      if (contrast_.both_directions) {
        const PairShare& in_column = pairs_in_columns_[k * contrast_.queries.n_rows + query];
        asked += double{share} * in_column.gradient();
        loss += double{share} * in_column.loss();
      }
      const float* const column_totals =
          contrast_.both_directions ? column_totals_.data() + k * stride_ : nullptr;
      const auto total = static_cast<float>(double{own} + in_row.loss());
      const float back = scale / contrast_.temperature;
      float* const pulls = parts_.of(group, k);
      const float* const longer = k + 1 < n_prefixes_ ? planes_.row(k + 1, r) : nullptr;
      float pull = kernels_.ask(dots, longer, scales, column_totals, pulls,
                                {factor, total, share, share, back}, n_columns_);
      if (std::isnan(pull)) loss = double{pull};  // powers of two drop what is not a number
      const auto own_pull = static_cast<float>(asked * double{own});
      pull += own_pull;
      pulls[query] += own_pull;
      dots[query] += static_cast<float>(asked * double{back} * double{scales[query]});
      query_pulls_[k * block_rows_ + r] = pull;
    }
    return loss * std::numbers::ln2;
  }

  float to_logit() const { return std::numbers::log2e_v<float> / contrast_.temperature; }

  void clear_row(std::size_t r) {
    for (std::size_t k = 0; k < n_prefixes_; ++k) std::fill_n(planes_.row(k, r), n_columns_, 0.0F);
  }

  // Rows that fill up the last tile count for nothing.
  void clear_tail(std::size_t n_rows) {
    const std::size_t first = rounded_up(n_rows, 2);
    const std::size_t last = rounded_up(n_rows, rounded_up(products_->row_unit(), 2));
    for (std::size_t r = first; r < std::min(last, block_rows_); r += 2) {
      clear_row(r);
      clear_row(r + 1);
      products_->keep(r, planes_);
    }
  }

  void add_pulls(std::size_t n_rows) {
    for (std::size_t group = 0; group < (n_rows + kGroup - 1) / kGroup; ++group) {
      for (std::size_t k = 0; k < n_prefixes_; ++k) {
        const float* const part = parts_.of(group, k);
        for (std::size_t c = 0; c < contrast_.candidates.n_rows; ++c) {
          pulls_[k * stride_ + c] += part[c];
        }
      }
    }
  }

  // Writes gradients of the block's queries, less what would only change a prefix's length.
  void write_queries(std::size_t first, std::size_t n_rows, float* d_queries) const {
    const std::size_t dim = contrast_.queries.dim;
    parallel_for(n_rows, 16, n_threads_, [&](std::size_t r, std::size_t end) {
      for (; r < end; ++r) {
        const std::size_t query = first + r;
        products_->write_query(r, d_queries + query * dim);
        keep_length(query_scales_, query, query_pulls_.data() + r, block_rows_, contrast_.queries,
                    d_queries);
      }
    });
  }

  void write_candidates(float* d_candidates) const {
    const std::size_t dim = contrast_.candidates.dim;
    parallel_for(contrast_.candidates.n_rows, 32, n_threads_, [&](std::size_t i, std::size_t end) {
      products_->write_candidates(i, end, d_candidates, dim);
      for (; i < end; ++i) {
        keep_length(candidate_scales_, i, pulls_.data() + i, stride_, contrast_.candidates,
                    d_candidates);
      }
    });
  }

  void keep_length(const InverseNorms& scales, std::size_t i, const float* pulls, std::size_t step,
                   const VectorsView& vectors, float* gradients) const {
    double share = 0.0;
    for (std::size_t k = n_prefixes_; k-- > 0;) {
      const double scale = double{scales.of(k)[i]};
      share += double{pulls[k * step]} * std::numbers::ln2 * scale * scale;
      const std::size_t begin = k == 0 ? 0 : contrast_.lengths[k - 1];
      kernels_.subtract_scaled(gradients + i * vectors.dim + begin,
                               vectors.values + i * vectors.dim + begin, static_cast<float>(share),
                               contrast_.lengths[k] - begin);
    }
    float* const row = gradients + i * vectors.dim;
    std::fill(row + contrast_.lengths.back(), row + vectors.dim, 0.0F);
  }

  // Logarithm of each candidate's soft-max denominator over the queries, and its pair's part in it.
  void gather_column_totals() {
    const std::size_t n_queries = contrast_.queries.n_rows;
    const std::size_t size = n_prefixes_ * stride_;
    std::vector<float> highests(size, -kFar);
    std::vector<double> sums(size);
    std::vector<float> owns(n_prefixes_ * n_queries);
    ColumnParts part_sums(block_rows_ / kGroup, n_prefixes_, stride_);
    each_block([&](std::size_t first, std::size_t n_rows) {
      each_group(n_rows, [&](std::size_t group, std::size_t r, std::size_t end) {
        for (std::size_t k = 0; k < n_prefixes_; ++k) {
          float* const highest = parts_.of(group, k);
          float* const sum = part_sums.of(group, k);
          std::fill_n(highest, stride_, -kFar);
          std::fill_n(sum, stride_, 0.0F);
          for (std::size_t i = r; i < end; ++i) {
            const std::size_t query = first + i;
            const float factor = query_scales_.of(k)[query] * to_logit();
            float& dot = planes_.row(k, i)[query];
            owns[k * n_queries + query] = dot * factor * candidate_scales_.of(k)[query];
            dot = kernels::kExcludedDot;
          }
          const auto each_row = [&](const auto& work) {
            for (std::size_t i = r; i < end; ++i) {
              work(planes_.row(k, i), candidate_scales_.of(k),
                   query_scales_.of(k)[first + i] * to_logit());
            }
          };
          each_row([&](const float* dots, const float* scales, float factor) {
            kernels_.raise_columns(dots, scales, factor, highest, n_columns_);
          });
          each_row([&](const float* dots, const float* scales, float factor) {
            kernels_.add_powers(dots, scales, factor, highest, sum, n_columns_);
          });
        }
      });
      for (std::size_t group = 0; group < (n_rows + kGroup - 1) / kGroup; ++group) {
        for (std::size_t k = 0; k < n_prefixes_; ++k) {
          for (std::size_t c = 0; c < n_queries; ++c) {
            merge(highests[k * stride_ + c], sums[k * stride_ + c], parts_.of(group, k)[c],
                  part_sums.of(group, k)[c]);
          }
        }
      }
    });
    // a hard negative picks nobody: its soft-max has no share
    column_totals_.assign(size, kFar);
    pairs_in_columns_.reserve(n_prefixes_ * n_queries);
    for (std::size_t k = 0; k < n_prefixes_; ++k) {
      for (std::size_t c = 0; c < n_queries; ++c) {
        const std::size_t at = k * stride_ + c;
        const float own = owns[k * n_queries + c];
        const PairShare& pair = pairs_in_columns_.emplace_back(highests[at], sums[at], own);
        column_totals_[at] = static_cast<float>(double{own} + pair.loss());
      }
    }
  }

  static void merge(float& highest, double& sum, float other_highest, float other_sum) {
    const float top = std::max(highest, other_highest);
    sum = sum * std::exp2(double{highest} - double{top}) +
          double{other_sum} * std::exp2(double{other_highest} - double{top});
    highest = top;
  }

  const NestedContrast& contrast_;
  const kernels::ContrastKernels& kernels_;
  std::size_t n_threads_;
  std::size_t n_prefixes_;
  std::size_t block_rows_;
  std::unique_ptr<ContrastProducts> products_;
  std::size_t n_columns_;
  std::size_t stride_;
  Planes planes_;
  InverseNorms query_scales_;
  InverseNorms candidate_scales_;
  Exclusions exclusions_;
  ColumnParts parts_;
  std::vector<float> pulls_;        // gradient times logit, summed over each column
  std::vector<float> query_pulls_;  // the same over the block's rows
  std::vector<float> column_totals_;
  std::vector<PairShare> pairs_in_columns_;  ///< [n_prefixes, n_queries]
};

}  // namespace

double nested_info_nce(const NestedContrast& contrast, CpuLevel level, std::size_t n_threads,
                       MemoryPool& pool, float* d_queries, float* d_candidates) {
  check(contrast);
  return Batch(contrast, level, n_threads, pool).run(d_queries, d_candidates);
}

}  // namespace vecsmith
