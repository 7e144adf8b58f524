#include "vecsmith/word_level.hpp"

#include <stdexcept>

namespace vecsmith {

WordLevel::WordLevel(const WordLevelSettings& /*settings*/) {
  throw std::invalid_argument("a WordLevel model is not built in");
}

void WordLevel::append(std::string_view /*word*/, IdBuffer& /*ids*/) const {}

}  // namespace vecsmith
