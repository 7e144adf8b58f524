#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "table.hpp"
#include "texts.hpp"
#include "vecsmith/encoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Ids = nb::ndarray<const std::uint32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Vectors = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

vecsmith::Pooling pooling_of(const Vectors& out, std::size_t dim, bool normalize,
                             std::optional<std::uint32_t> dropped_id, std::size_t table_dim,
                             std::size_t n_texts) {
  if (out.shape(0) != n_texts || out.shape(1) != dim || dim == 0 || dim > table_dim) {
    throw std::invalid_argument("out is [" + std::to_string(out.shape(0)) + ", " +
                                std::to_string(out.shape(1)) + "], expected [" +
                                std::to_string(n_texts) + ", " + std::to_string(dim) +
                                "] of at most " + std::to_string(table_dim) + " dimensions");
  }
  vecsmith::Pooling pooling{dim, normalize};
  if (dropped_id) pooling.dropped_id = std::int64_t{*dropped_id};
  return pooling;
}

// nanobind keeps the table and the tokenizer alive (keep_alive below).
class BoundPooler {
 public:
  BoundPooler(const BoundTable& table, const std::string& cpu_level)
      : pooler_(table.view(), vecsmith::cpu_level_of(cpu_level)) {}

  void pool(const Ids& ids, const Offsets& offsets, const Vectors& out, std::size_t dim,
            bool normalize, std::optional<std::uint32_t> dropped_id, std::size_t n_threads) const {
    const std::size_t n_texts = offsets.shape(0) == 0 ? 0 : offsets.shape(0) - 1;
    const vecsmith::Pooling pooling =
        pooling_of(out, dim, normalize, dropped_id, pooler_.table().dim, n_texts);
    const nb::gil_scoped_release unlocked;
    vecsmith::pool_all(pooler_, {ids.data(), ids.size()}, {offsets.data(), offsets.size()}, pooling,
                       n_threads, out.data());
  }

 private:
  vecsmith::Pooler pooler_;
};

class BoundEncoder {
 public:
  BoundEncoder(const vecsmith::Tokenizer& tokenizer, const BoundTable& table,
               const std::string& cpu_level)
      : encoder_(tokenizer, table.view(), vecsmith::cpu_level_of(cpu_level)),
        dim_(table.view().dim) {}

  void encode(const Texts& texts, const Vectors& out, std::optional<std::size_t> max_length,
              bool keep_end, std::size_t dim, bool normalize,
              std::optional<std::uint32_t> dropped_id, std::size_t n_threads) const {
    const auto views = texts.views();
    const vecsmith::Pooling pooling =
        pooling_of(out, dim, normalize, dropped_id, dim_, views.size());
    const nb::gil_scoped_release unlocked;
    encoder_.encode(views, {max_length.value_or(vecsmith::Truncation::kAll), keep_end}, pooling,
                    n_threads, out.data());
  }

 private:
  vecsmith::Encoder encoder_;
  std::size_t dim_;
};

}  // namespace

void bind_encoder(nb::module_& m) {
  nb::class_<BoundPooler>(m, "Pooler", "Token ids -> vectors.")
      .def(nb::init<const BoundTable&, const std::string&>(), "table"_a, "cpu_level"_a = "",
           nb::keep_alive<1, 2>())
      .def("pool", &BoundPooler::pool, "ids"_a.noconvert(), "offsets"_a.noconvert(),
           "out"_a.noconvert(), "dim"_a, "normalize"_a, "dropped_id"_a.none(), "n_threads"_a,
           "Writes one vector to `out` for each pair of neighbouring offsets into `ids`.");
  nb::class_<BoundEncoder>(m, "Encoder", "Texts -> vectors.")
      .def(nb::init<const vecsmith::Tokenizer&, const BoundTable&, const std::string&>(),
           "tokenizer"_a, "table"_a, "cpu_level"_a = "", nb::keep_alive<1, 2>(),
           nb::keep_alive<1, 3>())
      .def(
          "encode",
          [](const BoundEncoder& self, nb::list texts, std::size_t begin, std::size_t end,
             const Vectors& out, std::optional<std::size_t> max_length, bool keep_end,
             std::size_t dim, bool normalize, std::optional<std::uint32_t> dropped_id,
             std::size_t n_threads) {
            self.encode(Texts(std::move(texts), begin, end), out, max_length, keep_end, dim,
                        normalize, dropped_id, n_threads);
          },
          "texts"_a, "begin"_a, "end"_a, "out"_a.noconvert(), "max_length"_a.none(), "keep_end"_a,
          "dim"_a, "normalize"_a, "dropped_id"_a.none(), "n_threads"_a,
          "Writes the vectors of texts[begin:end] to `out`; the list must be the caller's own.")
      .def(
          "encode_utf8",
          [](const BoundEncoder& self, const Texts::Bytes& bytes, const Texts::Offsets& offsets,
             const Vectors& out, std::optional<std::size_t> max_length, bool keep_end,
             std::size_t dim, bool normalize, std::optional<std::uint32_t> dropped_id,
             std::size_t n_threads) {
            self.encode(Texts(bytes, offsets), out, max_length, keep_end, dim, normalize,
                        dropped_id, n_threads);
          },
          "bytes"_a.noconvert(), "offsets"_a.noconvert(), "out"_a.noconvert(),
          "max_length"_a.none(), "keep_end"_a, "dim"_a, "normalize"_a, "dropped_id"_a.none(),
          "n_threads"_a, "Writes one vector to `out` for each pair of neighbouring offsets.");
}
