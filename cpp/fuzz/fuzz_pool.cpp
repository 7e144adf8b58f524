// A table of any type, texts and pooling from the input: every level gives the sums of a plain loop
// over the decoded rows, and reads nothing beside the table.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "input.hpp"
#include "vecsmith/pool.hpp"

namespace {

using namespace vecsmith;

// Numbers in memory that ends where they do, so that a read behind it is found.
template <typename Number>
class Array {
 public:
  Array(fuzz::Input& input, std::size_t size) : size_(size), memory_(new Number[size]) {
    for (std::size_t i = 0; i < size; ++i) {
      unsigned char bytes[sizeof(Number)];
      for (unsigned char& byte : bytes) byte = input.byte();
      std::memcpy(&memory_[i], bytes, sizeof(Number));
    }
  }
  std::size_t size() const { return size_; }
  Number* data() const { return memory_.get(); }
  Number& operator[](std::size_t i) const { return memory_[i]; }

 private:
  std::size_t size_;
  std::unique_ptr<Number[]> memory_;
};

float float_of_half(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16U;
  if ((half & 0x7C00U) == 0x7C00U) {
    return std::bit_cast<float>(sign | 0x7F800000U | std::uint32_t{half & 0x3FFU} << 13U);
  }
  const float size = std::bit_cast<float>(std::uint32_t{half & 0x7FFFU} << 13U) * 0x1p112F;
  return sign != 0 ? -size : size;
}

float decoded(const TableView& table, std::size_t row, std::size_t column) {
  const std::size_t at = row * table.dim + column;
  switch (table.type) {
    case RowType::kFloat32:
      return static_cast<const float*>(table.rows)[at];
    case RowType::kFloat16:
      return float_of_half(static_cast<const std::uint16_t*>(table.rows)[at]);
    case RowType::kInt8:
      return static_cast<float>(static_cast<const std::int8_t*>(table.rows)[at]);
    case RowType::kBfloat16:
      return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(table.rows)[at]}
                                  << 16U);
    case RowType::kInt16:  // of which the scale comes last
      return static_cast<float>(static_cast<const std::int16_t*>(table.rows)[at]);
    case RowType::kInt4:
      break;
  }
  const std::size_t group = row * int4_groups(table.dim) + column / kInt4Group;
  const unsigned byte = static_cast<const std::uint8_t*>(
      table.rows)[group * kInt4GroupBytes + column % kInt4GroupBytes];
  const unsigned code = column % kInt4Group < kInt4GroupBytes ? byte & 15U : byte >> 4U;
  const auto scale = std::bit_cast<float>(std::uint32_t{table.scales[group]} << 16U);
  return static_cast<float>(table.levels[code]) * scale;
}

// The same bits, where not both are no number (whose bits are nobody's promise).
bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) || (a != a && b != b);
}

void check_sums(const TableView& table, std::span<const std::uint32_t> ids,
                std::span<const std::size_t> ends, const Pooling& pooling) {
  std::vector<float> expected(ends.size() * pooling.dim);
  for (std::size_t text = 0, i = 0; text < ends.size(); ++text) {
    std::size_t n = 0;
    float* const out = expected.data() + text * pooling.dim;
    for (; i < ends[text]; ++i) {
      if (std::int64_t{ids[i]} == pooling.dropped_id) continue;
      ++n;
      const std::size_t row = table.mapping != nullptr ? table.mapping[ids[i]] : ids[i];
      for (std::size_t j = 0; j < pooling.dim; ++j) {
        float x = decoded(table, row, j);
        if (table.weights != nullptr) x *= table.weights[ids[i]];
        out[j] += x;
      }
    }
    if (table.type == RowType::kInt16) {  // sums of so few codes are exact as floats too
      for (std::size_t j = 0; j < pooling.dim; ++j) out[j] *= table.column_scales[j];
    }
    for (std::size_t j = 0; n > 1 && j < pooling.dim; ++j) out[j] /= static_cast<float>(n);
  }
  for (const CpuLevel level : cpu_levels()) {
    const Pooler pooler(table, level);
    Pooler::Scratch scratch;
    std::vector<float> out(expected.size(), 7.0F);
    pooler.pool(ids, ends, pooling, scratch, out.data());
    for (std::size_t j = 0; j < out.size(); ++j) {
      fuzz::require(same(out[j], expected[j]), "every level adds rows as the loop does");
    }
    Pooling unit = pooling;
    unit.normalize = true;
    pooler.pool(ids, ends, unit, scratch, out.data());
    for (const OutputType output : {OutputType::kFloat16, OutputType::kInt8, OutputType::kBits}) {
      unit.output = output;
      pooler.pool(ids, ends, unit, scratch, out.data());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t kind = input.byte();
  TableView table{.type = static_cast<RowType>((kind >> 5U) % 6)};
  table.dim = 1 + input.byte() % 200;
  table.n_rows = 1 + input.byte() % 8;
  table.n_tokens = table.n_rows;
  const bool packed = table.type == RowType::kInt4;
  const std::size_t n_columns = packed ? int4_groups(table.dim) * kInt4GroupBytes : table.dim;
  const Array<std::uint8_t> rows(
      input, table.n_rows * n_columns * (packed ? 1 : number_bytes(table.type)));
  const Array<std::uint16_t> scales(input, packed ? table.n_rows * int4_groups(table.dim) : 0);
  const Array<std::int8_t> levels(input, packed ? kInt4Levels : 0);
  const Array<float> column_scales(input, table.type == RowType::kInt16 ? table.dim : 0);
  table.rows = rows.data();
  table.column_scales = column_scales.data();
  if (packed) {
    table.scales = scales.data();
    table.levels = levels.data();
  }
  if ((kind & 4U) != 0) table.n_tokens = 1 + input.byte() % 8;
  const Array<std::uint32_t> mapping(input, (kind & 4U) != 0 ? table.n_tokens : 0);
  for (std::size_t i = 0; i < mapping.size(); ++i) {
    mapping[i] %= static_cast<std::uint32_t>(table.n_rows);
  }
  if (mapping.size() != 0) table.mapping = mapping.data();
  const Array<float> weights(input, (kind & 8U) != 0 ? table.n_tokens : 0);
  if (weights.size() != 0) table.weights = weights.data();

  Pooling pooling{1 + input.byte() % table.dim, false};
  if ((kind & 16U) != 0) pooling.dropped_id = input.byte() % 8;
  std::vector<std::uint32_t> ids;
  std::vector<std::size_t> ends;
  for (std::size_t n_texts = input.byte() % 4; n_texts > 0; --n_texts) {
    for (std::size_t n = input.byte() % 40; n > 0; --n) {
      ids.push_back(input.byte() % static_cast<std::uint32_t>(table.n_tokens));
    }
    ends.push_back(ids.size());
  }
  check_sums(table, ids, ends, pooling);
  return 0;
}
