#include "vecsmith/pattern.hpp"

namespace vecsmith {

std::optional<Pattern> Pattern::of_regex(std::string_view /*regex*/) { return std::nullopt; }

void Pattern::find_all(std::string_view text,
                       const std::function<void(std::size_t begin, std::size_t end)>& found) const {
  if (literal_.empty()) return;
  for (std::size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    found(at, at + literal_.size());
  }
}

}  // namespace vecsmith
