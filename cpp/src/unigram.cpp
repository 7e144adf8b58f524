#include "vecsmith/unigram.hpp"

#include <stdexcept>

namespace vecsmith {

Unigram::Unigram(const UnigramSettings& /*settings*/) {
  throw std::invalid_argument("a Unigram model is not built in");
}

void Unigram::append(std::string_view /*word*/, IdBuffer& /*ids*/) const {}

}  // namespace vecsmith
