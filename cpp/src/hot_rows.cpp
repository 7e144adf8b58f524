#include "hot_rows.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "huge_pages.hpp"
#include "kernels/kernels.hpp"

namespace vecsmith {

namespace {

// More rows than all that English uses: 8 MB hold 98 of 100 tokens.
constexpr std::size_t kMostBytes = std::size_t{32} << 20;
// Tokens to choose by: a few hundred kilobytes of text. More of them choose hardly better, and the
// copy, of some milliseconds, is the sooner made up for.
constexpr std::size_t kEnough = std::size_t{1} << 16;
// The copy of a whole table, up to 10 ms, gains 4 ns a token, so it waits until a job is sure to be
// a long one.
constexpr std::size_t kEnoughToCut = std::size_t{1} << 19;

constexpr std::size_t kPieceBytes = kernels::kPiece * sizeof(float);

constexpr std::size_t whole(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

}  // namespace

void HotRows::Free::operator()(void* memory) const { std::free(memory); }

HotRows::HotRows(const TableView& table)
    : table_(table), row_bytes_(number_bytes(table.type) * table.dim) {
  is_done_ = row_bytes_ == 0 || row_bytes_ > kMostBytes;
  // Where some rows were whole, telling which would cost more than is gained.
  can_cut_ = table.type == RowType::kFloat32 && row_bytes_ > kPieceBytes &&
             table.n_rows <= kMostBytes / whole(row_bytes_, kPieceBytes);
}

void HotRows::count(std::span<const std::uint32_t> ids, std::size_t n_texts) {
  // Whoever finds the lock taken goes on without: a few texts that are not counted change nothing.
  const std::unique_lock lock(lock_, std::try_to_lock);
  if (!lock || is_done_) return;
  if (counts_.empty()) counts_.resize(table_.n_tokens);
  for (const std::uint32_t id : ids) ++counts_[id];
  n_counted_ += ids.size();
  n_texts_ += n_texts;
  const bool is_cut = can_cut_ && n_counted_ >= n_texts_ * kTokensWorthPieces;
  if (n_counted_ >= (is_cut ? kEnoughToCut : kEnough)) copy(is_cut);
}

void HotRows::copy(bool is_cut) {
  is_done_ = true;
  // Tokens may share a row: its uses are those of all of them.
  const auto row_of = [&](std::size_t token) {
    return table_.mapping == nullptr ? token : std::size_t{table_.mapping[token]};
  };
  std::vector<std::uint64_t> uses(table_.n_rows);
  for (std::size_t token = 0; token < table_.n_tokens; ++token) {
    uses[row_of(token)] += counts_[token];
  }
  counts_ = {};
  const std::size_t stride = whole(row_bytes_, is_cut ? kPieceBytes : 64);
  std::vector<std::uint32_t> order;
  for (std::uint32_t row = 0; row < table_.n_rows; ++row) {
    if (uses[row] > 0 || is_cut) order.push_back(row);
  }
  const std::size_t n_hot = std::min(order.size(), kMostBytes / stride);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n_hot), order.end(),
                    [&](std::uint32_t a, std::uint32_t b) {
                      return uses[a] != uses[b] ? uses[a] > uses[b] : a < b;
                    });
  rows_.reset(take_huge_pages(n_hot * stride));
  if (rows_ == nullptr) return;  // the table is there all the same
  std::vector<const void*> address(table_.n_rows);
  const auto* const table = static_cast<const std::byte*>(table_.rows);
  for (std::size_t i = 0; i < table_.n_rows; ++i) address[i] = table + i * row_bytes_;
  auto* const copies = static_cast<std::byte*>(rows_.get());
  const std::size_t piece = is_cut ? kPieceBytes : stride;
  for (std::size_t i = 0; i < n_hot; ++i) {
    const auto* const row = static_cast<const std::byte*>(address[order[i]]);
    for (std::size_t at = 0; at < row_bytes_; at += piece) {
      std::memcpy(copies + at * n_hot + i * piece, row + at, std::min(piece, row_bytes_ - at));
    }
    address[order[i]] = copies + i * piece;
  }
  if (is_cut) apart_ = n_hot * kernels::kPiece;
  kept_addresses_.resize(table_.n_tokens);
  for (std::size_t token = 0; token < table_.n_tokens; ++token) {
    kept_addresses_[token] = address[row_of(token)];
  }
  addresses_.store(kept_addresses_.data(), std::memory_order_release);
}

}  // namespace vecsmith
