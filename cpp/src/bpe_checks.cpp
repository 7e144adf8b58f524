#include "bpe_checks.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "merges.hpp"

namespace vecsmith {

namespace {

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

void check_merges(const BpeSettings& settings) {
  const std::size_t n = settings.tokens.size();
  for (const BpeSettings::Merge& merge : settings.merges) {
    const std::uint32_t largest = std::max({merge.left, merge.right, merge.merged});
    if (largest >= n) {
      throw std::invalid_argument("found a merge with token " + std::to_string(largest) +
                                  ", expected less than " + std::to_string(n));
    }
    const std::string& left = settings.tokens[merge.left];
    const std::string& right = settings.tokens[merge.right];
    const std::string_view merged = settings.tokens[merge.merged];
    const bool is_sum = merged.size() == left.size() + right.size() && merged.starts_with(left) &&
                        merged.ends_with(right);
    if (left.empty() || right.empty() || !is_sum) {
      throw std::invalid_argument("found a merge of " + quoted(left) + " and " + quoted(right) +
                                  " into " + quoted(merged) +
                                  ", expected one into the text of both");
    }
  }
}

}  // namespace

const BpeSettings& checked_bpe(const BpeSettings& settings) {
  const std::size_t n = settings.tokens.size();
  if (n != settings.ids.size()) {
    throw std::invalid_argument(std::to_string(n) + " tokens but " +
                                std::to_string(settings.ids.size()) + " ids");
  }
  if (n + 1 >= Merges::kLimit) {
    throw std::invalid_argument("found " + std::to_string(n) + " tokens, expected fewer than " +
                                std::to_string(Merges::kLimit - 1));
  }
  std::vector<std::uint32_t> ids = settings.ids;
  std::ranges::sort(ids);
  const auto twice = std::ranges::adjacent_find(ids);
  if (twice != ids.end()) {
    throw std::invalid_argument("found two tokens with id " + std::to_string(*twice) +
                                ", expected one");
  }
  check_merges(settings);
  return settings;
}

}  // namespace vecsmith
