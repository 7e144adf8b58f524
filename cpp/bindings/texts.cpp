#include "texts.hpp"

#include <stdexcept>
#include <string>

namespace nb = nanobind;

Texts::Texts(nb::list list, std::size_t begin, std::size_t end) {
  if (begin > end || end > list.size()) {
    throw std::out_of_range("texts " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of " + std::to_string(list.size()));
  }
  views_.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    PyObject* const text = PyList_GetItem(list.ptr(), static_cast<Py_ssize_t>(i));
    if (!PyUnicode_Check(text)) {
      const nb::object type = nb::steal(PyType_GetName(Py_TYPE(text)));
      throw nb::type_error(("text " + std::to_string(i) + " is of type " +
                            nb::cast<nb::str>(type).c_str() + ", expected str")
                               .c_str());
    }
    Py_ssize_t n_bytes = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(text, &n_bytes);
    if (bytes == nullptr) {
      // A lone surrogate has no UTF-8 form: its three bytes reach the engine, which reads U+FFFD.
      PyErr_Clear();
      owned_.push_back(nb::steal(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass")));
      if (!owned_.back().is_valid()) throw nb::python_error();
      bytes = PyBytes_AsString(owned_.back().ptr());
      n_bytes = PyBytes_Size(owned_.back().ptr());
    }
    views_.emplace_back(bytes, static_cast<std::size_t>(n_bytes));
  }
}

Texts::Texts(const Bytes& bytes, const Offsets& offsets) {
  const std::size_t n = offsets.shape(0) == 0 ? 0 : offsets.shape(0) - 1;
  const auto* const at = offsets.data();
  views_.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (at[i] < 0 || at[i + 1] < at[i] || static_cast<std::size_t>(at[i + 1]) > bytes.shape(0)) {
      throw std::out_of_range("text " + std::to_string(i) + " runs from byte " +
                              std::to_string(at[i]) + " to " + std::to_string(at[i + 1]) + " of " +
                              std::to_string(bytes.shape(0)));
    }
    views_.emplace_back(reinterpret_cast<const char*>(bytes.data()) + at[i],
                        static_cast<std::size_t>(at[i + 1] - at[i]));
  }
}
