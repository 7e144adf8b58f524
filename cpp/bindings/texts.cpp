#include "texts.hpp"

#include <cstring>
#include <stdexcept>
#include <string>

namespace nb = nanobind;

namespace {

// Arrow's layout of a view: its length, then the text if it fits the rest, else its first four
// bytes, the number of a buffer and an offset into that.
constexpr std::size_t kViewBytes = 16;
constexpr std::int32_t kMostInline = 12;

std::int32_t int32_at(const std::uint8_t* bytes) {
  std::int32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::string_view chars(const std::uint8_t* bytes, std::size_t n) {
  return {reinterpret_cast<const char*>(bytes), n};
}

}  // namespace

Texts::Texts(nb::handle text) { add(text, 0); }

Texts::Texts(const nb::list& list, std::size_t begin, std::size_t end) {
  if (begin > end || end > list.size()) {
    throw std::out_of_range("texts " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of " + std::to_string(list.size()));
  }
  views_.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    add(PyList_GetItem(list.ptr(), static_cast<Py_ssize_t>(i)), i);
  }
}

// An ASCII string is its own UTF-8 and is looked at where it is; of another one Python makes the
// UTF-8 form once and keeps it.
void Texts::add(nb::handle text, std::size_t place) {
  if (!PyUnicode_Check(text.ptr())) {
    const nb::object type = nb::steal(PyType_GetName(Py_TYPE(text.ptr())));
    throw nb::type_error(("text " + std::to_string(place) + " is of type " +
                          nb::cast<nb::str>(type).c_str() + ", expected str")
                             .c_str());
  }
  Py_ssize_t n_bytes = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &n_bytes);
  if (bytes == nullptr) {
    // A lone surrogate has no UTF-8 form: its three bytes reach the engine, which reads U+FFFD.
    PyErr_Clear();
    owned_.push_back(nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogatepass")));
    if (!owned_.back().is_valid()) throw nb::python_error();
    bytes = PyBytes_AsString(owned_.back().ptr());
    n_bytes = PyBytes_Size(owned_.back().ptr());
  }
  views_.emplace_back(bytes, static_cast<std::size_t>(n_bytes));
}

template <typename Offset>
Texts::Texts(const Bytes& bytes, const Array<Offset>& offsets) {
  const std::size_t n = offsets.shape(0) == 0 ? 0 : offsets.shape(0) - 1;
  const Offset* const at = offsets.data();
  views_.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (at[i] < 0 || at[i + 1] < at[i] || static_cast<std::size_t>(at[i + 1]) > bytes.shape(0)) {
      throw std::out_of_range("text " + std::to_string(i) + " runs from byte " +
                              std::to_string(at[i]) + " to " + std::to_string(at[i + 1]) + " of " +
                              std::to_string(bytes.shape(0)));
    }
    views_.push_back(chars(bytes.data() + at[i], static_cast<std::size_t>(at[i + 1] - at[i])));
  }
}

template Texts::Texts(const Bytes& bytes, const Array<std::int32_t>& offsets);
template Texts::Texts(const Bytes& bytes, const Array<std::int64_t>& offsets);

Texts::Texts(const Array<std::uint8_t, 2>& views, const std::vector<Bytes>& buffers) {
  if (views.shape(1) != kViewBytes) {
    throw std::invalid_argument("views of " + std::to_string(views.shape(1)) +
                                " bytes, expected 16");
  }
  views_.reserve(views.shape(0));
  for (std::size_t i = 0; i < views.shape(0); ++i) {
    const std::uint8_t* const view = views.data() + i * kViewBytes;
    const std::int32_t n = int32_at(view);
    if (n >= 0 && n <= kMostInline) {
      views_.push_back(chars(view + 4, static_cast<std::size_t>(n)));
      continue;
    }
    const auto buffer = static_cast<std::uint32_t>(int32_at(view + 8));
    const auto at = static_cast<std::uint32_t>(int32_at(view + 12));
    const std::size_t n_bytes = buffer < buffers.size() ? buffers[buffer].shape(0) : 0;
    // in 64 bits, so that no sum of hostile values wraps around
    if (n < 0 || std::uint64_t{at} + static_cast<std::uint32_t>(n) > n_bytes) {
      throw std::out_of_range("text " + std::to_string(i) + " is " + std::to_string(n) +
                              " bytes at " + std::to_string(at) + " of buffer " +
                              std::to_string(buffer) + ", which has " + std::to_string(n_bytes));
    }
    views_.push_back(chars(buffers[buffer].data() + at, static_cast<std::size_t>(n)));
  }
}
