#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace vecsmith {

/// Whole lines at the beginning of a text.
struct LineRun {
  std::size_t n_lines = 0;
  std::size_t n_bytes = 0;  ///< line ends included
};

/// The most lines of `text` within `max_lines` and `max_bytes`, or the first if that alone is
/// longer; none of an empty text. A line ends in "\n" or with the text.
LineRun run_of_lines(std::string_view text, std::size_t max_lines, std::size_t max_bytes);

/// Appends the lines of `text` to `lines`, without their ends "\n" or "\r\n".
void append_lines(std::string_view text, std::vector<std::string_view>& lines);

}  // namespace vecsmith
