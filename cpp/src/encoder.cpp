#include "vecsmith/encoder.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>

#include "scratch_pool.hpp"
#include "vecsmith/parallel.hpp"

namespace vecsmith {

namespace {

// Texts, and bytes of texts, that a thread takes at a time: enough to hide what taking costs and to
// use the rows that are in its cache, few enough that the last slices end together.
constexpr std::size_t kSlice = 1024;
constexpr std::size_t kFewestSliceBytes = std::size_t{1} << 16;
constexpr std::size_t kMostSliceBytes = std::size_t{1} << 20;
// Slices of each thread, where there are enough texts.
constexpr std::size_t kSlicesPerThread = 4;
// What a text costs beside its bytes: its vector.
constexpr std::size_t kTextBytes = 64;
// A thread is worth starting for this much text, about 0.2 ms of work.
constexpr std::size_t kBytesPerThread = std::size_t{1} << 15;
// The same in tokens, where there is nothing left but to add their rows.
constexpr std::size_t kTokensPerThread = std::size_t{1} << 12;
// Texts are tokenised and pooled in groups whose ids stay in the second level cache.
constexpr std::size_t kGroupTexts = 4096;
constexpr std::size_t kGroupBytes = std::size_t{1} << 20;
// Ids of one group that are kept for the next call; a very long text has more.
constexpr std::size_t kKeptIds = std::size_t{1} << 20;

// Working memory of one thread: what a group of texts becomes on its way.
struct Group {
  IdBuffer ids;
  std::vector<std::size_t> ends;
  Pooler::Scratch pooling;

  void trim() {
    if (ids.capacity() <= kKeptIds) return;
    ids.release();
    pooling = {};
  }
};

// What texts cost, in bytes.
std::size_t bytes_of(std::span<const std::string_view> texts) {
  std::size_t n_bytes = 0;
  for (const std::string_view text : texts) n_bytes += text.size() + kTextBytes;
  return n_bytes;
}

std::size_t useful_threads(std::size_t n_texts, std::size_t n_bytes, std::size_t n_threads) {
  if (n_threads <= 1 || n_texts <= 1) return 1;
  return std::clamp<std::size_t>(n_bytes / kBytesPerThread, 1, n_threads);
}

std::size_t slice_of(std::size_t n_items, std::size_t n_threads) {
  const std::size_t n_slices = kSlicesPerThread * std::max<std::size_t>(n_threads, 1);
  return std::clamp<std::size_t>(n_items / n_slices, 1, kSlice);
}

// A run of texts that one thread takes.
struct Slice {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t n_bytes = 0;
};

// Slices of about equal bytes, the longest first: what is taken last should be short.
std::vector<Slice> slices_of(std::span<const std::string_view> texts, std::size_t n_bytes,
                             std::size_t n_threads) {
  const std::size_t most = slice_of(texts.size(), n_threads);
  const std::size_t enough =
      std::clamp(n_bytes / (kSlicesPerThread * n_threads), kFewestSliceBytes, kMostSliceBytes);
  std::vector<Slice> slices;
  slices.reserve(texts.size() / most + 1);
  Slice slice;
  for (const std::string_view text : texts) {
    slice.n_bytes += text.size() + kTextBytes;
    ++slice.end;
    if (slice.n_bytes < enough && slice.end - slice.begin < most) continue;
    slices.push_back(slice);
    slice = {slice.end, slice.end, 0};
  }
  if (slice.end > slice.begin) slices.push_back(slice);
  std::ranges::stable_sort(slices, std::ranges::greater{}, &Slice::n_bytes);
  return slices;
}

}  // namespace

struct Encoder::Scratches : ScratchPool<Group> {};

Encoder::Encoder(const Tokenizer& tokenizer, const TableView& table, CpuLevel level)
    : tokenizer_(tokenizer), pooler_(table, level), scratches_(std::make_unique<Scratches>()) {
  if (tokenizer.max_id() >= table.n_tokens) {
    throw std::invalid_argument("the tokenizer gives ids up to " +
                                std::to_string(tokenizer.max_id()) + " but the table has " +
                                std::to_string(table.n_tokens) + " tokens");
  }
}

Encoder::~Encoder() = default;

void Encoder::encode(std::span<const std::string_view> texts, Truncation truncation,
                     const Pooling& pooling, std::size_t n_threads, void* out) const {
  if (n_threads <= 1) return encode_slice(texts, truncation, pooling, out);
  const std::size_t n_bytes = bytes_of(texts);
  n_threads = useful_threads(texts.size(), n_bytes, n_threads);
  if (n_threads == 1) return encode_slice(texts, truncation, pooling, out);
  const std::vector<Slice> slices = slices_of(texts, n_bytes, n_threads);
  parallel_for(slices.size(), 1, n_threads, [&](std::size_t i, std::size_t) {
    const Slice& slice = slices[i];
    encode_slice(texts.subspan(slice.begin, slice.end - slice.begin), truncation, pooling,
                 static_cast<std::byte*>(out) + slice.begin * pooling.n_bytes());
  });
}

void Encoder::encode_slice(std::span<const std::string_view> texts, Truncation truncation,
                           const Pooling& pooling, void* out) const {
  if (texts.empty()) return;
  const auto group = scratches_->borrow([] { return std::make_unique<Group>(); });
  for (std::size_t begin = 0; begin < texts.size();) {
    std::size_t end = begin;
    std::size_t n_bytes = 0;
    while (end < texts.size() && end - begin < kGroupTexts && n_bytes < kGroupBytes) {
      n_bytes += texts[end++].size();
    }
    group->ids.set_size(0);
    group->ends.clear();
    tokenizer_.encode(texts.subspan(begin, end - begin), truncation, group->ids, group->ends);
    pooler_.pool(group->ids.slice(0, group->ids.size()), group->ends, pooling, group->pooling, out);
    out = static_cast<std::byte*>(out) + (end - begin) * pooling.n_bytes();
    begin = end;
  }
}

void pool_all(const Pooler& pooler, std::span<const std::uint32_t> ids,
              std::span<const std::int64_t> offsets, const Pooling& pooling, std::size_t n_threads,
              void* out) {
  const std::size_t n_tokens = pooler.table().n_tokens;
  for (const std::uint32_t id : ids) {
    if (id >= n_tokens) {
      throw std::out_of_range("token id " + std::to_string(id) + " but the table has " +
                              std::to_string(n_tokens) + " tokens");
    }
  }
  const std::size_t n_texts = offsets.empty() ? 0 : offsets.size() - 1;
  for (std::size_t i = 0; i < n_texts; ++i) {
    if (offsets[i] < 0 || offsets[i] > offsets[i + 1] ||
        static_cast<std::size_t>(offsets[i + 1]) > ids.size()) {
      throw std::out_of_range("offsets " + std::to_string(offsets[i]) + " to " +
                              std::to_string(offsets[i + 1]) + " of " + std::to_string(ids.size()) +
                              " ids");
    }
  }
  n_threads = std::min(n_threads, (ids.size() + n_texts) / kTokensPerThread + 1);
  parallel_for(n_texts, slice_of(n_texts, n_threads), n_threads,
               [&](std::size_t begin, std::size_t end) {
                 Pooler::Scratch scratch;
                 std::vector<std::size_t> ends;
                 const auto first = static_cast<std::size_t>(offsets[begin]);
                 const auto last = static_cast<std::size_t>(offsets[end]);
                 for (std::size_t i = begin; i < end; ++i) {
                   ends.push_back(static_cast<std::size_t>(offsets[i + 1]) - first);
                 }
                 pooler.pool(ids.subspan(first, last - first), ends, pooling, scratch,
                             static_cast<std::byte*>(out) + begin * pooling.n_bytes());
               });
}

TokenLists tokenize_all(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                        Truncation truncation, std::size_t n_threads) {
  n_threads = useful_threads(texts.size(), bytes_of(texts), n_threads);
  const std::size_t slice = (texts.size() + n_threads - 1) / std::max<std::size_t>(n_threads, 1);
  struct Part {
    IdBuffer ids;
    std::vector<std::size_t> ends;
  };
  std::vector<Part> parts(n_threads);
  parallel_for(texts.size(), slice, n_threads, [&](std::size_t begin, std::size_t end) {
    Part& part = parts[begin / slice];
    tokenizer.encode(texts.subspan(begin, end - begin), truncation, part.ids, part.ends);
  });
  TokenLists lists;
  lists.offsets.reserve(texts.size() + 1);
  lists.offsets.push_back(0);
  for (const Part& part : parts) {
    const auto before = static_cast<std::int64_t>(lists.ids.size());
    const auto ids = part.ids.slice(0, part.ids.size());
    lists.ids.insert(lists.ids.end(), ids.begin(), ids.end());
    for (const std::size_t end : part.ends) {
      lists.offsets.push_back(before + static_cast<std::int64_t>(end));
    }
  }
  return lists;
}

}  // namespace vecsmith
