#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "vecsmith/search.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Rows = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using Queries = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Candidates = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Places = nb::ndarray<std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Mask = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void expect_length(const char* name, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw std::invalid_argument(std::string(name) + " has " + std::to_string(found) +
                              " entries, expected " + std::to_string(expected));
}

vecsmith::VectorType type_of(const Rows& rows) {
  const nb::dlpack::dtype half{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
  if (rows.dtype() == nb::dtype<float>()) return vecsmith::VectorType::kFloat32;
  if (rows.dtype() == half) return vecsmith::VectorType::kFloat16;
  if (rows.dtype() == nb::dtype<std::int8_t>()) return vecsmith::VectorType::kInt8;
  if (rows.dtype() == nb::dtype<std::uint8_t>()) return vecsmith::VectorType::kBits;
  throw nb::type_error("rows are not of float32, float16, int8 or uint8 (bits)");
}

// A view of the rows' first `dim` dimensions.
vecsmith::SearchedRows view_of(const Rows& rows, std::size_t dim,
                               const std::optional<Numbers>& factors,
                               const std::optional<Numbers>& offsets) {
  vecsmith::SearchedRows view;
  view.values = rows.data();
  view.type = type_of(rows);
  view.n_rows = rows.shape(0);
  view.dim = dim;
  const std::size_t n_dims =
      rows.shape(1) * (view.type == vecsmith::VectorType::kBits ? std::size_t{8} : 1);
  if (dim > n_dims) {
    throw std::invalid_argument("rows of " + std::to_string(n_dims) + " dimensions, expected " +
                                std::to_string(dim));
  }
  if (rows.shape(0) > 1 && rows.stride(0) < 0) {
    throw std::invalid_argument("rows are in reverse, expected rising addresses");
  }
  if (rows.shape(0) > 0 && rows.shape(1) > 1 && rows.stride(1) != 1) {
    throw std::invalid_argument("entries of a row are " + std::to_string(rows.stride(1)) +
                                " apart, expected one behind the other");
  }
  if (rows.shape(0) > 1) {
    view.stride = static_cast<std::size_t>(rows.stride(0)) * rows.itemsize();
  }
  if (factors) expect_length("factors", factors->size(), view.n_rows);
  if (offsets) expect_length("offsets", offsets->size(), view.n_rows);
  view.factors = factors ? factors->data() : nullptr;
  view.offsets = offsets ? offsets->data() : nullptr;
  return view;
}

vecsmith::SearchQueries view_of(const Queries& queries, std::size_t dim) {
  if (queries.shape(1) < dim) {
    throw std::invalid_argument("queries of " + std::to_string(queries.shape(1)) +
                                " dimensions, expected at least " + std::to_string(dim));
  }
  return {queries.data(), queries.shape(0), queries.shape(1)};
}

vecsmith::SearchResults view_of(const Places& places, const Scores& scores, std::size_t n) {
  expect_length("places", places.shape(0), n);
  expect_length("scores", scores.shape(0), n);
  expect_length("a row of scores", scores.shape(1), places.shape(1));
  return {places.data(), scores.data(), places.shape(1)};
}

void top_k(const Queries& queries, const Rows& rows, std::size_t dim,
           const std::optional<Numbers>& factors, const std::optional<Numbers>& offsets,
           const std::optional<Mask>& allowed, const Places& out_places, const Scores& out_scores,
           std::size_t n_threads, const std::string& cpu_level) {
  const vecsmith::SearchedRows searched = view_of(rows, dim, factors, offsets);
  const vecsmith::SearchQueries asked = view_of(queries, dim);
  const vecsmith::SearchResults out = view_of(out_places, out_scores, asked.n);
  if (allowed) expect_length("allowed", allowed->size(), searched.n_rows);
  const std::uint8_t* const mask = allowed ? allowed->data() : nullptr;
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  vecsmith::top_k(asked, searched, mask, level, n_threads, out);
}

void rescore(const Queries& queries, const Rows& rows, std::size_t dim,
             const std::optional<Numbers>& factors, const std::optional<Numbers>& offsets,
             const Candidates& candidates, const Places& out_places, const Scores& out_scores,
             std::size_t n_threads, const std::string& cpu_level) {
  const vecsmith::SearchedRows searched = view_of(rows, dim, factors, offsets);
  const vecsmith::SearchQueries asked = view_of(queries, dim);
  const vecsmith::SearchResults out = view_of(out_places, out_scores, asked.n);
  expect_length("candidates", candidates.shape(0), asked.n);
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  vecsmith::rescore(asked, searched, candidates.data(), candidates.shape(1), level, n_threads, out);
}

void prefix_squares(const Rows& rows, const std::vector<std::size_t>& dims, const Scores& out,
                    std::size_t n_threads, const std::string& cpu_level) {
  const vecsmith::SearchedRows searched =
      view_of(rows, dims.empty() ? 0 : dims.back(), std::nullopt, std::nullopt);
  expect_length("out", out.shape(0), dims.size());
  expect_length("a row of out", out.shape(1), searched.n_rows);
  const vecsmith::CpuLevel level = vecsmith::cpu_level_of(cpu_level);
  const nb::gil_scoped_release unlocked;
  vecsmith::prefix_squares(searched, dims, level, n_threads, out.data());
}

}  // namespace

void bind_search(nb::module_& m) {
  m.def("top_k", &top_k, "queries"_a.noconvert(), "rows"_a.noconvert(), "dim"_a,
        "factors"_a.noconvert().none(), "offsets"_a.noconvert().none(),
        "allowed"_a.noconvert().none(), "out_places"_a.noconvert(), "out_scores"_a.noconvert(),
        "n_threads"_a, "cpu_level"_a = "", "Writes the best rows for each query.");
  m.def("rescore", &rescore, "queries"_a.noconvert(), "rows"_a.noconvert(), "dim"_a,
        "factors"_a.noconvert().none(), "offsets"_a.noconvert().none(), "candidates"_a.noconvert(),
        "out_places"_a.noconvert(), "out_scores"_a.noconvert(), "n_threads"_a, "cpu_level"_a = "",
        "Writes the best of each query's own candidates.");
  m.def("prefix_squares", &prefix_squares, "rows"_a.noconvert(), "dims"_a, "out"_a.noconvert(),
        "n_threads"_a, "cpu_level"_a = "", "Writes the sums of squares of rows' prefixes.");
}
