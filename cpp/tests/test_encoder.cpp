// Texts to vectors: fused, in threads, and by several callers at once.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/encoder.hpp"

namespace {

using namespace vecsmith;
using testing::Random;

constexpr std::size_t kDim = 37;

struct Model {
  Model() : settings(testing::some_settings({}, testing::special_tokens())), tokenizer(settings) {
    Random random(14);
    rows.resize(testing::wordpiece_of(settings).tokens.size() * kDim);
    for (float& x : rows) x = random.uniform();
  }

  TableView view() const {
    const std::size_t n = testing::wordpiece_of(settings).tokens.size();
    return {.rows = rows.data(), .n_rows = n, .dim = kDim, .n_tokens = n};
  }

  TokenizerSettings settings;
  Tokenizer tokenizer;
  std::vector<float> rows;
};

struct Texts {
  explicit Texts(std::size_t n) {
    Random random(15);
    for (std::size_t i = 0; i < n; ++i) {
      owned.push_back(random.one_in(3) ? random.text(random.below(60))
                                       : random.sentence(random.below(80)));
    }
    views.assign(owned.begin(), owned.end());
  }
  std::vector<std::string> owned;
  std::vector<std::string_view> views;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

std::vector<float> encode(const Encoder& encoder, std::span<const std::string_view> texts,
                          std::size_t n_threads, Truncation truncation = {},
                          Pooling pooling = {kDim}) {
  std::vector<float> out(texts.size() * pooling.dim, 7.0F);
  encoder.encode(texts, truncation, pooling, n_threads, out.data());
  return out;
}

TEST_CASE(a_vector_is_the_mean_of_the_rows_of_the_texts_ids) {
  const Model model;
  const Texts texts(300);
  const Encoder encoder(model.tokenizer, model.view());
  const testing::PlainTokenizer plain(model.settings);
  const Pooler pooler(model.view(), CpuLevel::kBaseline);
  for (const Truncation truncation : {Truncation{}, Truncation{5, false}, Truncation{5, true}}) {
    const Pooling pooling{20, true, 1};
    const std::vector<float> out = encode(encoder, texts.views, 1, truncation, pooling);
    Pooler::Scratch scratch;
    std::vector<float> expected(pooling.dim);
    for (std::size_t i = 0; i < texts.views.size(); ++i) {
      const testing::IdList ids = plain.encode(texts.views[i], truncation);
      const std::vector<std::size_t> ends = {ids.size()};
      pooler.pool(ids, ends, pooling, scratch, expected.data());
      const auto row = out.begin() + static_cast<std::ptrdiff_t>(i * pooling.dim);
      CHECK(std::equal(expected.begin(), expected.end(), row));
    }
  }
}

TEST_CASE(one_to_eight_threads_give_the_same_bits) {
  const Model model;
  const Texts texts(testing::rounds(3000));
  const Encoder encoder(model.tokenizer, model.view());
  const std::vector<float> expected = encode(encoder, texts.views, 1);
  for (std::size_t n_threads = 2; n_threads <= 8; ++n_threads) {
    CHECK(same_bits(encode(encoder, texts.views, n_threads), expected));
  }
  CHECK(same_bits(encode(encoder, texts.views, 0), expected));
  CHECK(same_bits(encode(encoder, texts.views, std::numeric_limits<std::size_t>::max() / 2),
                  expected));
}

TEST_CASE(callers_at_once_give_each_other_the_same_bits) {
  const Model model;
  const Texts texts(testing::rounds(1000));
  const Encoder encoder(model.tokenizer, model.view());
  const std::vector<float> expected = encode(encoder, texts.views, 1);
  std::vector<std::vector<float>> results(8);
  {
    std::vector<std::jthread> threads;
    threads.reserve(results.size());
    for (auto& result : results) {
      threads.emplace_back(
          [&] { result = encode(encoder, texts.views, 1 + texts.views.size() % 2); });
    }
  }
  for (const auto& result : results) CHECK(same_bits(result, expected));
}

TEST_CASE(no_texts_write_nothing) {
  const Model model;
  const Encoder encoder(model.tokenizer, model.view());
  encoder.encode({}, {}, {kDim}, 4, nullptr);
  CHECK_EQ(tokenize_all(model.tokenizer, {}, {}, 4).offsets, std::vector<std::int64_t>{0});
}

TEST_CASE(ids_of_all_texts_come_with_their_offsets_from_any_number_of_threads) {
  const Model model;
  const Texts texts(testing::rounds(2000));
  const auto expected = testing::encode_all(model.tokenizer, texts.views);
  for (const std::size_t n_threads : std::vector<std::size_t>{0, 1, 2, 3, 7, 100}) {
    const TokenLists lists = tokenize_all(model.tokenizer, texts.views, {}, n_threads);
    CHECK_EQ(lists.offsets.size(), texts.views.size() + 1);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const testing::IdList ids(lists.ids.begin() + lists.offsets[i],
                                lists.ids.begin() + lists.offsets[i + 1]);
      CHECK(ids == expected[i]);
    }
  }
}

TEST_CASE(ids_from_elsewhere_are_pooled_in_any_number_of_threads) {
  const Model model;
  const Texts texts(500);
  const Pooler pooler(model.view());
  const TokenLists lists = tokenize_all(model.tokenizer, texts.views, {}, 2);
  const std::vector<float> expected =
      encode(Encoder(model.tokenizer, model.view()), texts.views, 1);
  for (std::size_t n_threads :
       {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{64}, std::size_t{1} << 62U}) {
    std::vector<float> out(expected.size(), 7.0F);
    pool_all(pooler, lists.ids, lists.offsets, {kDim}, n_threads, out.data());
    CHECK(same_bits(out, expected));
  }
}

TEST_CASE(ids_and_offsets_that_point_nowhere_are_refused) {
  const Model model;
  const Pooler pooler(model.view());
  const auto n = static_cast<std::uint32_t>(testing::wordpiece_of(model.settings).tokens.size());
  std::vector<float> out(4 * kDim);
  using Ids = std::vector<std::uint32_t>;
  using Offsets = std::vector<std::int64_t>;
  const auto pool = [&](const Ids& ids, const Offsets& offsets) {
    pool_all(pooler, ids, offsets, {kDim}, 1, out.data());
  };
  pool({n - 1}, {0, 1});
  pool({}, {});
  pool({}, {0});
  CHECK_THROWS(pool({n}, {0, 1}), std::out_of_range);
  CHECK_THROWS(pool({0}, {0, 2}), std::out_of_range);
  CHECK_THROWS(pool({0}, {1, 0}), std::out_of_range);
  CHECK_THROWS(pool({0}, {-1, 1}), std::out_of_range);
}

TEST_CASE(a_table_without_rows_for_all_ids_is_refused) {
  const Model model;
  TableView view = model.view();
  --view.n_rows;
  --view.n_tokens;
  CHECK_THROWS(Encoder(model.tokenizer, view), std::invalid_argument);
}

}  // namespace
