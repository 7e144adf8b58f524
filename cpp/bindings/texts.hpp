#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// UTF-8 views of a run of texts, and what keeps their bytes alive.
///
/// Made with the interpreter locked; the views stay valid without the lock as long as this lives.
class Texts {
 public:
  /// Items [begin, end) of a list of str. The caller must own the list: nobody else may change it.
  Texts(nanobind::list list, std::size_t begin, std::size_t end);

  /// One text for each pair of neighbouring offsets into `bytes`, as Arrow keeps them.
  using Bytes = nanobind::ndarray<const std::uint8_t, nanobind::ndim<1>, nanobind::c_contig,
                                  nanobind::device::cpu>;
  using Offsets = nanobind::ndarray<const std::int64_t, nanobind::ndim<1>, nanobind::c_contig,
                                    nanobind::device::cpu>;
  Texts(const Bytes& bytes, const Offsets& offsets);

  std::span<const std::string_view> views() const { return views_; }

 private:
  std::vector<std::string_view> views_;
  std::vector<nanobind::object> owned_;  // encoded copies of strings that have no UTF-8 form
};
