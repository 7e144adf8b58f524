#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "table.hpp"
#include "texts.hpp"
#include "vecsmith/encoder.hpp"
#include "vecsmith/lines.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Ids = Texts::Array<std::uint32_t>;
using Offsets = Texts::Array<std::int64_t>;
using Vectors = nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// An output type by its name in Python, and the numbers that its arrays are of.
struct Output {
  std::string_view name, dtype;
  vecsmith::OutputType type;
  char format;  // of Python's buffers
  nb::dlpack::dtype number;
};

constexpr auto kFloats = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
constexpr auto kInts = static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
constexpr auto kUnsigned = static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt);
constexpr Output kOutputs[] = {
    {"float32", "float32", vecsmith::OutputType::kFloat32, 'f', {kFloats, 32, 1}},
    {"float16", "float16", vecsmith::OutputType::kFloat16, 'e', {kFloats, 16, 1}},
    {"int8", "int8", vecsmith::OutputType::kInt8, 'b', {kInts, 8, 1}},
    {"binary", "int8", vecsmith::OutputType::kSignedBits, 'b', {kInts, 8, 1}},
    {"ubinary", "uint8", vecsmith::OutputType::kBits, 'B', {kUnsigned, 8, 1}},
};

const Output& output_of(std::string_view name) {
  for (const Output& output : kOutputs) {
    if (output.name == name) return output;
  }
  throw std::invalid_argument("output is '" + std::string(name) +
                              "', expected float32, float16, int8, binary or ubinary");
}

// What holds for every text of an encoding.
struct EncodeSettings {
  EncodeSettings(std::optional<std::size_t> max_length, bool keep_end, std::size_t dim,
                 bool normalize, std::optional<std::uint32_t> dropped_id,
                 const std::string& output_name)
      : truncation{max_length.value_or(vecsmith::Truncation::kAll), keep_end},
        pooling{dim, normalize},
        output(output_of(output_name)) {
    if (dropped_id) pooling.dropped_id = std::int64_t{*dropped_id};
    pooling.output = output.type;
  }

  // Numbers of a vector as it is written.
  std::size_t n_columns() const {
    const std::size_t number = output.number.bits / 8U;
    return pooling.n_bytes() / number;
  }

  std::optional<std::size_t> max_length() const {
    if (truncation.max_length == vecsmith::Truncation::kAll) return std::nullopt;
    return truncation.max_length;
  }

  vecsmith::Truncation truncation;
  vecsmith::Pooling pooling;
  const Output& output;
};

std::string shape_of(std::size_t n, std::size_t dim) {
  return "[" + std::to_string(n) + ", " + std::to_string(dim) + "]";
}

void check_out(std::size_t n_rows, std::size_t n_columns, std::size_t n_texts,
               const EncodeSettings& settings, std::size_t table_dim) {
  const std::size_t dim = settings.pooling.dim;
  if (n_rows != n_texts || n_columns != settings.n_columns() || dim == 0 || dim > table_dim) {
    throw std::invalid_argument("out is " + shape_of(n_rows, n_columns) + ", expected " +
                                shape_of(n_texts, settings.n_columns()) + " for " +
                                std::to_string(dim) + " of at most " + std::to_string(table_dim) +
                                " dimensions");
  }
}

void check_out(const Vectors& out, std::size_t n_texts, const EncodeSettings& settings,
               std::size_t table_dim) {
  if (out.dtype() != settings.output.number) {
    const std::string message = "out is not of " + std::string(settings.output.dtype) + ", which " +
                                std::string(settings.output.name) + " vectors are";
    throw nb::type_error(message.c_str());
  }
  check_out(out.shape(0), out.shape(1), n_texts, settings, table_dim);
}

// nanobind keeps the table and the tokenizer alive (keep_alive below).
class BoundPooler {
 public:
  BoundPooler(const BoundTable& table, const std::string& cpu_level)
      : pooler_(table.view(), vecsmith::cpu_level_of(cpu_level)) {}

  void pool(const Ids& ids, const Offsets& offsets, const Vectors& out,
            const EncodeSettings& settings, std::size_t n_threads) const {
    const std::size_t n_texts = offsets.shape(0) == 0 ? 0 : offsets.shape(0) - 1;
    check_out(out, n_texts, settings, pooler_.table().dim);
    const nb::gil_scoped_release unlocked;
    vecsmith::pool_all(pooler_, {ids.data(), ids.size()}, {offsets.data(), offsets.size()},
                       settings.pooling, n_threads, out.data());
  }

 private:
  vecsmith::Pooler pooler_;
};

// An array of one vector, looked at without what an array argument costs (0.3 us).
class OneVector {
 public:
  OneVector(nb::handle out, char format) {
    constexpr int kWanted = PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE | PyBUF_FORMAT;
    if (PyObject_GetBuffer(out.ptr(), &buffer_, kWanted) != 0) throw nb::python_error();
    const std::string_view found = buffer_.format == nullptr ? "B" : buffer_.format;
    if (found.size() == 1 && found[0] == format) return;
    const std::string message =
        "out is of type '" + std::string(found) + "', expected '" + std::string(1, format) + "'";
    PyBuffer_Release(&buffer_);
    throw nb::type_error(message.c_str());
  }
  ~OneVector() { PyBuffer_Release(&buffer_); }
  OneVector(const OneVector&) = delete;
  OneVector& operator=(const OneVector&) = delete;

  void* data() const { return buffer_.buf; }
  std::size_t size() const { return static_cast<std::size_t>(buffer_.len / buffer_.itemsize); }

 private:
  Py_buffer buffer_{};
};

class BoundEncoder {
 public:
  BoundEncoder(const vecsmith::Tokenizer& tokenizer, const BoundTable& table,
               const std::string& cpu_level)
      : encoder_(tokenizer, table.view(), vecsmith::cpu_level_of(cpu_level)),
        dim_(table.view().dim) {}

  void encode(const Texts& texts, const Vectors& out, const EncodeSettings& settings,
              std::size_t n_threads) const {
    const auto views = texts.views();
    check_out(out, views.size(), settings, dim_);
    const nb::gil_scoped_release unlocked;
    encoder_.encode(views, settings.truncation, settings.pooling, n_threads, out.data());
  }

  void encode_lines(std::string_view text, const Vectors& out, const EncodeSettings& settings,
                    std::size_t n_threads) const {
    const nb::gil_scoped_release unlocked;
    std::vector<std::string_view> lines;
    vecsmith::append_lines(text, lines);
    check_out(out, lines.size(), settings, dim_);
    encoder_.encode(lines, settings.truncation, settings.pooling, n_threads, out.data());
  }

  void encode_one(nb::handle text, nb::handle out, const EncodeSettings& settings) const {
    const Texts texts(text);
    const OneVector vector(out, settings.output.format);
    check_out(1, vector.size(), 1, settings, dim_);
    const auto run = [&] {
      encoder_.encode(texts.views(), settings.truncation, settings.pooling, 1, vector.data());
    };
    // To unlock the interpreter and take it back costs as much as a short text.
    if (texts.views()[0].size() <= kShortText) return run();
    const nb::gil_scoped_release unlocked;
    run();
  }

 private:
  static constexpr std::size_t kShortText = 1024;

  vecsmith::Encoder encoder_;
  std::size_t dim_;
};

template <typename Offset>
void encode_utf8(const BoundEncoder& self, const Texts::Bytes& bytes,
                 const Texts::Array<Offset>& offsets, const Vectors& out,
                 const EncodeSettings& settings, std::size_t n_threads) {
  self.encode(Texts(bytes, offsets), out, settings, n_threads);
}

std::string_view stretch_of(const Texts::Bytes& bytes, std::size_t begin, std::size_t end) {
  if (begin > end || end > bytes.shape(0)) {
    throw std::out_of_range("bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of " + std::to_string(bytes.shape(0)));
  }
  return {reinterpret_cast<const char*>(bytes.data()) + begin, end - begin};
}

nb::tuple run_of_lines(const Texts::Bytes& bytes, std::size_t begin, std::size_t max_lines,
                       std::size_t max_bytes) {
  const std::string_view text = stretch_of(bytes, begin, bytes.shape(0));
  const vecsmith::LineRun run = [&] {
    const nb::gil_scoped_release unlocked;
    return vecsmith::run_of_lines(text, max_lines, max_bytes);
  }();
  return nb::make_tuple(run.n_lines, begin + run.n_bytes);
}

}  // namespace

void bind_encoder(nb::module_& m) {
  nb::class_<EncodeSettings>(m, "EncodeSettings", "What holds for every text of an encoding.")
      .def(nb::init<std::optional<std::size_t>, bool, std::size_t, bool,
                    std::optional<std::uint32_t>, const std::string&>(),
           "max_length"_a.none(), "keep_end"_a, "dim"_a, "normalize"_a, "dropped_id"_a.none(),
           "output"_a = "float32")
      .def_prop_ro("max_length", &EncodeSettings::max_length);
  nb::class_<BoundPooler>(m, "Pooler", "Token ids -> vectors.")
      .def(nb::init<const BoundTable&, const std::string&>(), "table"_a, "cpu_level"_a = "",
           nb::keep_alive<1, 2>())
      .def("pool", &BoundPooler::pool, "ids"_a.noconvert(), "offsets"_a.noconvert(),
           "out"_a.noconvert(), "settings"_a, "n_threads"_a,
           "Writes one vector to `out` for each pair of neighbouring offsets into `ids`.");
  nb::class_<BoundEncoder>(m, "Encoder", "Texts -> vectors.")
      .def(nb::init<const vecsmith::Tokenizer&, const BoundTable&, const std::string&>(),
           "tokenizer"_a, "table"_a, "cpu_level"_a = "", nb::keep_alive<1, 2>(),
           nb::keep_alive<1, 3>())
      .def("encode_one", &BoundEncoder::encode_one, "text"_a, "out"_a, "settings"_a,
           "Writes the vector of one text to `out`, an array of one row.")
      .def(
          "encode",
          [](const BoundEncoder& self, const nb::list& texts, std::size_t begin, std::size_t end,
             const Vectors& out, const EncodeSettings& settings, std::size_t n_threads) {
            self.encode(Texts(texts, begin, end), out, settings, n_threads);
          },
          "texts"_a, "begin"_a, "end"_a, "out"_a.noconvert(), "settings"_a, "n_threads"_a,
          "Writes the vectors of texts[begin:end] to `out`; the list must be the caller's own.")
      .def("encode_utf8", &encode_utf8<std::int32_t>, "bytes"_a.noconvert(),
           "offsets"_a.noconvert(), "out"_a.noconvert(), "settings"_a, "n_threads"_a)
      .def("encode_utf8", &encode_utf8<std::int64_t>, "bytes"_a.noconvert(),
           "offsets"_a.noconvert(), "out"_a.noconvert(), "settings"_a, "n_threads"_a,
           "Writes one vector to `out` for each pair of neighbouring offsets into `bytes`.")
      .def(
          "encode_views",
          [](const BoundEncoder& self, const Texts::Array<std::uint8_t, 2>& views,
             const std::vector<Texts::Bytes>& buffers, const Vectors& out,
             const EncodeSettings& settings, std::size_t n_threads) {
            self.encode(Texts(views, buffers), out, settings, n_threads);
          },
          "views"_a.noconvert(), "buffers"_a.noconvert(), "out"_a.noconvert(), "settings"_a,
          "n_threads"_a, "Writes one vector to `out` for each of Arrow's string views.")
      .def(
          "encode_lines",
          [](const BoundEncoder& self, const Texts::Bytes& bytes, std::size_t begin,
             std::size_t end, const Vectors& out, const EncodeSettings& settings,
             std::size_t n_threads) {
            self.encode_lines(stretch_of(bytes, begin, end), out, settings, n_threads);
          },
          "bytes"_a.noconvert(), "begin"_a, "end"_a, "out"_a.noconvert(), "settings"_a,
          "n_threads"_a, "Writes one vector to `out` for each line of bytes[begin:end].");
  m.def("run_of_lines", &run_of_lines, "bytes"_a.noconvert(), "begin"_a, "max_lines"_a,
        "max_bytes"_a,
        "How many lines from `begin` on fit the bounds, one at least, and where they end.");
}
