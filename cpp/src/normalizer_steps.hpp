// The steps of a normalizer, each a text of its own from a text.

#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/normalizer.hpp"

namespace vecsmith {

class Normalizer::Step {
 public:
  virtual ~Step() = default;

  // Appends what becomes of `text` to `out`.
  virtual void append(std::string_view text, std::string& out) const = 0;

  // True when append() takes ill-formed bytes as U+FFFD; else they must not come to it.
  virtual bool takes_any_bytes() const { return true; }

  // Bytes at the beginning of well-formed `text` that stay as they are, and that append() does not
  // look at when it is given the rest alone.
  virtual std::size_t kept(std::string_view text) const = 0;
};

// The steps of `settings`, neighbours joined where one pass does for all of them.
std::vector<std::shared_ptr<const Normalizer::Step>> make_steps(const NormalizerSettings& settings);

// Appends `text`, U+FFFD in the place of ill-formed bytes.
void append_well_formed(std::string_view text, std::string& out);

}  // namespace vecsmith
