#include "vecsmith/lines.hpp"

#include <algorithm>

namespace vecsmith {

namespace {

// Bytes of the first line of `text`, its end included.
std::size_t line_bytes(std::string_view text) {
  const std::size_t end = text.find('\n');
  return end == std::string_view::npos ? text.size() : end + 1;
}

}  // namespace

LineRun run_of_lines(std::string_view text, std::size_t max_lines, std::size_t max_bytes) {
  // What lies behind max_bytes is looked at only where the first line is longer.
  const std::string_view near = text.substr(0, std::max<std::size_t>(max_bytes, 1));
  LineRun run;
  while (run.n_lines < max_lines && run.n_bytes < near.size()) {
    const std::size_t n = line_bytes(near.substr(run.n_bytes));
    const std::size_t end = run.n_bytes + n;
    const bool is_cut = near[end - 1] != '\n' && end < text.size();
    if (is_cut && run.n_lines > 0) break;
    run.n_bytes += is_cut ? line_bytes(text) : n;
    ++run.n_lines;
    if (is_cut) break;
  }
  return run;
}

void append_lines(std::string_view text, std::vector<std::string_view>& lines) {
  while (!text.empty()) {
    const std::size_t n = line_bytes(text);
    std::string_view line = text.substr(0, n);
    if (line.ends_with('\n')) {
      line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
    }
    lines.push_back(line);
    text.remove_prefix(n);
  }
}

}  // namespace vecsmith
