#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "vecsmith/pool.hpp"
#include "vecsmith/tokenizer.hpp"

namespace vecsmith {

/// Texts -> vectors, fused and batched.
///
/// Any number of threads may use one at once, also in a forked child.
class Encoder {
 public:
  /// The tokenizer and the memory behind `table` must outlive this. Throws std::invalid_argument
  /// when the tokenizer gives ids that the table has no row for.
  Encoder(const Tokenizer& tokenizer, const TableView& table, CpuLevel level = best_cpu_level());
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /// Writes the vector of texts[i] to `out` + i * pooling.n_bytes().
  void encode(std::span<const std::string_view> texts, Truncation truncation,
              const Pooling& pooling, std::size_t n_threads, void* out) const;

 private:
  struct Scratches;

  void encode_slice(std::span<const std::string_view> texts, Truncation truncation,
                    const Pooling& pooling, void* out) const;

  const Tokenizer& tokenizer_;
  Pooler pooler_;
  std::unique_ptr<Scratches> scratches_;
};

/// Writes the vector of ids[ends[i-1] .. ends[i]) to `out` + i * pooling.n_bytes(), for ids that
/// come from elsewhere. Throws std::out_of_range for an id that the table has no row for.
void pool_all(const Pooler& pooler, std::span<const std::uint32_t> ids,
              std::span<const std::int64_t> offsets, const Pooling& pooling, std::size_t n_threads,
              void* out);

/// Ids of `texts` by as many threads: one flat list and, for each text, where it ends.
struct TokenLists {
  std::vector<std::uint32_t> ids;
  std::vector<std::int64_t> offsets;  ///< n_texts + 1 entries, the first 0
};
TokenLists tokenize_all(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                        Truncation truncation, std::size_t n_threads);

}  // namespace vecsmith
