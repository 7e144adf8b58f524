#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "vecsmith/bag.hpp"
#include "vecsmith/memory_pool.hpp"
#include "vecsmith/nested_info_nce.hpp"
#include "vecsmith/row_adam.hpp"
#include "vecsmith/row_gradients.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <typename T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ids = Flat<const std::uint32_t>;
using Counts = Flat<const std::int64_t>;
using Vectors = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutVectors = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void expect_shape(const char* name, std::size_t found_rows, std::size_t found_dim, std::size_t rows,
                  std::size_t dim) {
  if (found_rows == rows && found_dim == dim) return;
  throw std::invalid_argument(std::string(name) + " is [" + std::to_string(found_rows) + ", " +
                              std::to_string(found_dim) + "], expected [" + std::to_string(rows) +
                              ", " + std::to_string(dim) + "]");
}

void expect_length(const char* name, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw std::invalid_argument(std::string(name) + " has " + std::to_string(found) +
                              " entries, expected " + std::to_string(expected));
}

// An array of a pool's memory. The memory goes back when the last reader of the array is gone.
nb::ndarray<nb::numpy, float, nb::ndim<2>> vectors_of(std::shared_ptr<vecsmith::MemoryPool> pool,
                                                      std::size_t n_rows, std::size_t dim) {
  struct Lent {
    std::shared_ptr<vecsmith::MemoryPool> pool;
    vecsmith::MemoryPool::Block block;
  };
  if (dim != 0 && n_rows > std::numeric_limits<std::size_t>::max() / sizeof(float) / dim) {
    throw std::bad_alloc();
  }
  auto lent = std::make_unique<Lent>(Lent{pool, pool->take(n_rows * dim * sizeof(float))});
  auto* const values = static_cast<float*>(lent->block.memory);
  const nb::capsule owner(lent.release(), [](void* p) noexcept {
    const std::unique_ptr<Lent> back(static_cast<Lent*>(p));
    back->pool->give(back->block);
  });
  return {values, {n_rows, dim}, owner};
}

void make_touched_rows(vecsmith::TouchedRows* self,
                       const std::vector<std::tuple<Ids, Counts>>& bags, std::size_t n_rows) {
  std::vector<vecsmith::BagView> views;
  for (const auto& [ids, offsets] : bags) {
    views.push_back({{ids.data(), ids.size()}, {offsets.data(), offsets.size()}});
  }
  const nb::gil_scoped_release unlocked;
  new (self) vecsmith::TouchedRows(views, n_rows);
}

nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>> ids_of(const vecsmith::TouchedRows& self) {
  auto* const kept = new std::vector<std::int64_t>(self.ids());
  const nb::capsule owner(
      kept, [](void* p) noexcept { delete static_cast<std::vector<std::int64_t>*>(p); });
  return {kept->data(), {kept->size()}, owner};
}

void gather(const vecsmith::TouchedRows& self, const std::vector<Vectors>& d_vectors,
            const std::optional<Vectors>& table,
            const std::optional<Flat<const float>>& token_weights, const OutVectors& out_rows,
            const std::optional<Flat<float>>& out_weights, const Flat<double>& out_squares,
            vecsmith::MemoryPool& pool, std::size_t n_threads, const std::string& cpu_level) {
  const std::size_t n_ids = self.ids().size();
  const std::size_t dim = out_rows.shape(1);
  expect_shape("out_rows", out_rows.shape(0), dim, n_ids, dim);
  expect_length("out_squares", out_squares.size(), n_ids);
  expect_length("d_vectors", d_vectors.size(), self.n_texts().size());
  std::vector<const float*> arrays;
  for (std::size_t i = 0; i < d_vectors.size(); ++i) {
    expect_shape("a gradient", d_vectors[i].shape(0), d_vectors[i].shape(1), self.n_texts()[i],
                 dim);
    arrays.push_back(d_vectors[i].data());
  }
  if (token_weights) {
    if (!table || !out_weights) throw std::invalid_argument("token weights without their table");
    expect_shape("table", table->shape(0), table->shape(1), self.n_rows(), dim);
    expect_length("token_weights", token_weights->size(), self.n_rows());
    expect_length("out_weights", out_weights->size(), n_ids);
  }
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const vecsmith::TouchedRows::Out out{
      out_rows.data(), token_weights ? out_weights->data() : nullptr, out_squares.data()};
  const nb::gil_scoped_release unlocked;
  self.gather(arrays, dim, token_weights ? table->data() : nullptr,
              token_weights ? token_weights->data() : nullptr, level, n_threads, pool, out);
}

void mean_rows(const Vectors& table, const std::optional<Flat<const float>>& token_weights,
               const Ids& ids, const Counts& offsets, const OutVectors& out,
               vecsmith::MemoryPool& pool, std::size_t n_threads, const std::string& cpu_level) {
  const std::size_t n_texts = offsets.size() == 0 ? 0 : offsets.size() - 1;
  expect_shape("out", out.shape(0), out.shape(1), n_texts, table.shape(1));
  if (token_weights) expect_length("token_weights", token_weights->size(), table.shape(0));
  const vecsmith::RowsView rows{table.data(), token_weights ? token_weights->data() : nullptr,
                                table.shape(0), table.shape(1)};
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  vecsmith::mean_rows(rows, {{ids.data(), ids.size()}, {offsets.data(), offsets.size()}}, level,
                      n_threads, pool, out.data());
}

void adam_rows(const OutVectors& values, const OutVectors& first, const OutVectors& second,
               const Counts& ids, const Vectors& gradients, const Counts& touched, double beta1,
               double beta2, double eps, double rate, double weight_decay, double clip,
               std::int64_t step, std::size_t n_threads, const std::string& cpu_level) {
  const std::size_t n_rows = values.shape(0);
  const std::size_t dim = values.shape(1);
  expect_shape("first", first.shape(0), first.shape(1), n_rows, dim);
  expect_shape("second", second.shape(0), second.shape(1), n_rows, dim);
  expect_shape("gradients", gradients.shape(0), gradients.shape(1), ids.size(), dim);
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  vecsmith::adam_rows({values.data(), first.data(), second.data(), n_rows, dim},
                      {ids.data(), ids.size()}, gradients.data(), {touched.data(), touched.size()},
                      {beta1, beta2, eps, rate, weight_decay, clip, step}, level, n_threads);
}

double nested_info_nce(const Vectors& queries, const Vectors& candidates,
                       const std::vector<std::size_t>& lengths, const std::vector<float>& weights,
                       float temperature, const std::optional<Counts>& query_keys,
                       const std::optional<Counts>& candidate_keys, bool both_directions,
                       bool bfloat16, const OutVectors& d_queries, const OutVectors& d_candidates,
                       vecsmith::MemoryPool& pool, std::size_t n_threads,
                       const std::string& cpu_level) {
  expect_shape("d_queries", d_queries.shape(0), d_queries.shape(1), queries.shape(0),
               queries.shape(1));
  expect_shape("d_candidates", d_candidates.shape(0), d_candidates.shape(1), candidates.shape(0),
               candidates.shape(1));
  vecsmith::NestedContrast contrast;
  contrast.queries = {queries.data(), queries.shape(0), queries.shape(1)};
  contrast.candidates = {candidates.data(), candidates.shape(0), candidates.shape(1)};
  contrast.lengths = lengths;
  contrast.weights = weights;
  contrast.temperature = temperature;
  contrast.both_directions = both_directions;
  contrast.bfloat16 = bfloat16;
  if (query_keys) contrast.query_keys = {query_keys->data(), query_keys->size()};
  if (candidate_keys) contrast.candidate_keys = {candidate_keys->data(), candidate_keys->size()};
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  return vecsmith::nested_info_nce(contrast, level, n_threads, pool, d_queries.data(),
                                   d_candidates.data());
}

}  // namespace

void bind_training(nb::module_& m) {
  nb::class_<vecsmith::MemoryPool>(m, "MemoryPool", "Working memory kept for the next use.")
      .def(nb::new_([] { return std::make_shared<vecsmith::MemoryPool>(); }))
      .def("vectors", &vectors_of, nb::rv_policy::move, "n_rows"_a, "dim"_a,
           "An array of the pool's memory that holds anything; it goes back when it is let go.")
      .def("release", &vecsmith::MemoryPool::release, "Returns idle memory to the system.");
  nb::class_<vecsmith::TouchedRows>(m, "TouchedRows", "Which texts each row of a table is in.")
      .def("__init__", &make_touched_rows, "bags"_a.noconvert(), "n_rows"_a)
      .def_prop_ro("ids", &ids_of, nb::rv_policy::move, "Rows that occur, ascending.")
      .def("gather", &gather, "d_vectors"_a.noconvert(), "table"_a.noconvert().none(),
           "token_weights"_a.noconvert().none(), "out_rows"_a.noconvert(),
           "out_weights"_a.noconvert().none(), "out_squares"_a.noconvert(), "pool"_a, "n_threads"_a,
           "cpu_level"_a = "", "Writes gradients of the rows, given those of the texts' means.");
  m.def("mean_rows", &mean_rows, "table"_a.noconvert(), "token_weights"_a.noconvert().none(),
        "ids"_a.noconvert(), "offsets"_a.noconvert(), "out"_a.noconvert(), "pool"_a, "n_threads"_a,
        "cpu_level"_a = "", "Writes the mean of each text's rows, times their weights.");
  m.def("adam_rows", &adam_rows, "values"_a.noconvert(), "first"_a.noconvert(),
        "second"_a.noconvert(), "ids"_a.noconvert(), "gradients"_a.noconvert(),
        "touched"_a.noconvert(), "beta1"_a, "beta2"_a, "eps"_a, "rate"_a, "weight_decay"_a,
        "clip"_a, "step"_a, "n_threads"_a, "cpu_level"_a = "",
        "Moves rows by one step of AdamW; the clocks in `touched` are left as they are.");
  m.def("nested_info_nce", &nested_info_nce, "queries"_a.noconvert(), "candidates"_a.noconvert(),
        "lengths"_a, "weights"_a, "temperature"_a, "query_keys"_a.noconvert().none(),
        "candidate_keys"_a.noconvert().none(), "both_directions"_a, "bfloat16"_a,
        "d_queries"_a.noconvert(), "d_candidates"_a.noconvert(), "pool"_a, "n_threads"_a,
        "cpu_level"_a = "", "InfoNCE summed over prefixes; writes its gradients.");
}
