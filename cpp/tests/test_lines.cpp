// Lines of a text, counted and cut.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "vecsmith/lines.hpp"

namespace {

using namespace vecsmith;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  append_lines(text, lines);
  return lines;
}

TEST_CASE(a_line_ends_in_a_newline_or_with_the_text) {
  using Lines = std::vector<std::string_view>;
  CHECK(lines_of("").empty());
  CHECK(lines_of("\n") == Lines{""});
  CHECK(lines_of("a") == Lines{"a"});
  CHECK((lines_of("a\nb\r\n\r\n\nc") == Lines{"a", "b", "", "", "c"}));
  CHECK((lines_of("a\r\r\nb\rc\n") == Lines{"a\r", "b\rc"}));
  CHECK(lines_of("a\r") == Lines{"a\r"});
  CHECK(lines_of({"\0\n\0", 3}).size() == 2);
}

TEST_CASE(a_run_is_the_longest_within_its_bounds_or_one_longer_line) {
  const auto is = [](LineRun run, std::size_t n_lines, std::size_t n_bytes) {
    return run.n_lines == n_lines && run.n_bytes == n_bytes;
  };
  CHECK(is(run_of_lines("", 9, 9), 0, 0));
  CHECK(is(run_of_lines("ab\ncd\nef", 9, 9), 3, 8));
  CHECK(is(run_of_lines("ab\ncd\nef", 9, 8), 3, 8));
  CHECK(is(run_of_lines("ab\ncd\nef", 9, 7), 2, 6));
  CHECK(is(run_of_lines("ab\ncd\nef", 2, 9), 2, 6));
  CHECK(is(run_of_lines("ab\ncd\nef", 9, 5), 1, 3));
  CHECK(is(run_of_lines("ab\ncd\nef", 9, 3), 1, 3));
  CHECK(is(run_of_lines("abc\nd", 9, 2), 1, 4));
  CHECK(is(run_of_lines("abc", 9, 2), 1, 3));
  CHECK(is(run_of_lines("abc\n", 9, 0), 1, 4));
}

TEST_CASE(runs_one_after_another_hold_each_line_once) {
  testing::Random random(31);
  for (std::size_t round = 0; round < testing::rounds(2000); ++round) {
    std::string text;
    const std::size_t n = random.below(60);
    for (std::size_t i = 0; i < n; ++i) text += "ab\r\n\n"[random.below(5)];
    const std::size_t max_lines = 1 + random.below(5);
    const std::size_t max_bytes = random.below(12);
    std::vector<std::string_view> found;
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view rest = std::string_view(text).substr(at);
      const LineRun run = run_of_lines(rest, max_lines, max_bytes);
      CHECK(run.n_lines > 0 && run.n_lines <= max_lines && run.n_bytes <= rest.size());
      CHECK(run.n_bytes <= max_bytes || run.n_lines == 1);
      const std::size_t before = found.size();
      append_lines(rest.substr(0, run.n_bytes), found);
      CHECK_EQ(found.size() - before, run.n_lines);
      at += run.n_bytes;
    }
    CHECK(found == lines_of(text));
  }
}

}  // namespace
