#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_cpu(nb::module_& m);
void bind_tokenizer(nb::module_& m);
void bind_tokenizer_settings(nb::module_& m);
void bind_table(nb::module_& m);
void bind_encoder(nb::module_& m);
void bind_training(nb::module_& m);
void bind_search(nb::module_& m);

NB_MODULE(_core, m) {
  m.doc() = "Native engine of vecsmith. Private: import from vecsmith instead.";
  bind_cpu(m);
  bind_tokenizer_settings(m);
  bind_tokenizer(m);
  bind_table(m);
  bind_encoder(m);
  bind_training(m);
  bind_search(m);
}
