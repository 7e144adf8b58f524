#include "texts.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "vecsmith/transcode.hpp"

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

// An ASCII string is its own UTF-8 and is looked at where it is. Of another one a copy is made for
// as long as this lives: the one that Python makes stays with the string, so that a corpus would
// grow by half or more.
void Texts::add(nb::handle text, std::size_t place) {
  PyObject* const string = text.ptr();
  if (!PyUnicode_Check(string)) {
    const nb::object type = nb::steal(PyType_GetName(Py_TYPE(string)));
    throw nb::type_error(("text " + std::to_string(place) + " is of type " +
                          nb::cast<nb::str>(type).c_str() + ", expected str")
                             .c_str());
  }
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(string) != 0) throw nb::python_error();
#endif
  const auto n = static_cast<std::size_t>(PyUnicode_GET_LENGTH(string));
  const void* const units = PyUnicode_DATA(string);
  if (PyUnicode_IS_ASCII(string)) {
    views_.emplace_back(static_cast<const char*>(units), n);
    return;
  }
  const auto kind = static_cast<std::size_t>(PyUnicode_KIND(string));
  char* const out = copies_.reserve(vecsmith::utf8_room(n, kind));
  std::size_t n_bytes = 0;
  if (kind == 1) {
    n_bytes = vecsmith::to_utf8(std::span(static_cast<const std::uint8_t*>(units), n), out);
  } else if (kind == 2) {
    n_bytes = vecsmith::to_utf8(std::span(static_cast<const std::uint16_t*>(units), n), out);
  } else {
    n_bytes = vecsmith::to_utf8(std::span(static_cast<const std::uint32_t*>(units), n), out);
  }
  copies_.take(n_bytes);
  views_.emplace_back(out, n_bytes);
}

Texts::Copies::~Copies() {
  if (!blocks_.empty() && blocks_.front() != nullptr) spare() = std::move(blocks_.front());
}

char* Texts::Copies::reserve(std::size_t n) {
  if (n > room_) {
    const std::size_t size = std::max(n, kBlock);
    const bool is_first = blocks_.empty() && size == kBlock;
    std::unique_ptr<char[]> block = is_first ? std::move(spare()) : nullptr;
    if (block == nullptr) block.reset(new char[size]);
    // The first block is always of kBlock bytes: it is the one that is kept.
    if (blocks_.empty() && !is_first) blocks_.push_back(nullptr);
    next_ = block.get();
    room_ = size;
    blocks_.push_back(std::move(block));
  }
  return next_;
}

std::unique_ptr<char[]>& Texts::Copies::spare() {
  thread_local std::unique_ptr<char[]> block;
  return block;
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
