#include "vecsmith/normalizer.hpp"

#include <stdexcept>
#include <utility>

namespace vecsmith {

Normalizer::Normalizer(NormalizerSettings settings) : settings_(std::move(settings)) {
  for (const NormalizerStep& step : settings_) {
    if (!std::holds_alternative<normalizers::Bert>(step)) {
      throw std::invalid_argument("a normalizer that is not BertNormalizer");
    }
  }
}

void Normalizer::append(std::string_view text, std::string& out) const {
  std::string current(text);
  for (const NormalizerStep& step : settings_) {
    std::string next;
    BertNormalizer(std::get<normalizers::Bert>(step)).append(current, next);
    current = std::move(next);
  }
  out += current;
}

}  // namespace vecsmith
