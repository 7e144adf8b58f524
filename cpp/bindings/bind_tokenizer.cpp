#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "texts.hpp"
#include "vecsmith/encoder.hpp"
#include "vecsmith/tokenizer.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

void make_tokenizer(vecsmith::Tokenizer* self, const vecsmith::TokenizerSettings& settings,
                    const std::string& cpu_level) {
  const nb::gil_scoped_release unlocked;
  new (self) vecsmith::Tokenizer(settings, vecsmith::cpu_level_of(cpu_level));
}

template <typename T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array_of(std::vector<T> values) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {kept->data(), {kept->size()}, owner};
}

nb::tuple tokenize(const vecsmith::Tokenizer& self, nb::list texts,
                   std::optional<std::size_t> max_length, bool keep_end, std::size_t n_threads) {
  const std::size_t n_texts = texts.size();  // before the list is moved from
  const Texts views(std::move(texts), 0, n_texts);
  vecsmith::TokenLists lists;
  {
    const nb::gil_scoped_release unlocked;
    lists = vecsmith::tokenize_all(self, views.views(),
                                   {max_length.value_or(vecsmith::Truncation::kAll), keep_end},
                                   n_threads);
  }
  return nb::make_tuple(array_of(std::move(lists.ids)), array_of(std::move(lists.offsets)));
}

nb::str normalize(const vecsmith::Tokenizer& self, nb::str text) {
  nb::list one;
  one.append(text);
  const Texts views(one, 0, 1);
  const std::string normalized = self.normalize(views.views()[0]);
  return nb::str(normalized.data(), normalized.size());
}

}  // namespace

void bind_tokenizer(nb::module_& m) {
  nb::class_<vecsmith::Tokenizer>(m, "Tokenizer", "Text -> token ids.")
      .def("__init__", &make_tokenizer, "settings"_a, "cpu_level"_a = "")
      .def("encode", &tokenize, "texts"_a, "max_length"_a.none(), "keep_end"_a, "n_threads"_a,
           "Ids of all texts in one array, and n + 1 offsets into it.")
      .def("normalize", &normalize, "text"_a, "Normalised form of a text.")
      .def_prop_ro("max_id", &vecsmith::Tokenizer::max_id, "Largest id it gives.");
}
