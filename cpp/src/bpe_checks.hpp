#pragma once

#include "vecsmith/bpe.hpp"

namespace vecsmith {

/// `settings`, if they fit each other; throws std::invalid_argument otherwise.
const BpeSettings& checked_bpe(const BpeSettings& settings);

}  // namespace vecsmith
