#include "vecsmith/normalizer.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "normalizer_steps.hpp"

namespace vecsmith {

namespace {

// The end of a text, kept aside while the step that reads it writes in its place. Most texts are
// short: they need no memory of their own.
class Aside {
 public:
  explicit Aside(std::string_view text) {
    if (text.size() <= short_.size()) {
      std::ranges::copy(text, short_.begin());
      view_ = {short_.data(), text.size()};
    } else {
      long_ = text;
      view_ = long_;
    }
  }
  std::string_view view() const { return view_; }

 private:
  std::array<char, 4096> short_;
  std::string long_;
  std::string_view view_;
};

}  // namespace

Normalizer::Normalizer(NormalizerSettings settings)
    : settings_(std::move(settings)), steps_(make_steps(settings_)) {}

void Normalizer::append(std::string_view text, std::string& out) const {
  const std::size_t begin = out.size();
  auto step = steps_.begin();
  if (step != steps_.end() && (*step)->takes_any_bytes()) {
    (*step++)->append(text, out);
  } else {
    append_well_formed(text, out);
  }
  for (; step != steps_.end(); ++step) {
    const std::string_view current = std::string_view(out).substr(begin);
    const std::size_t kept = (*step)->kept(current);
    if (kept == current.size()) continue;
    const Aside rest(current.substr(kept));
    out.resize(begin + kept);
    (*step)->append(rest.view(), out);
  }
}

}  // namespace vecsmith
