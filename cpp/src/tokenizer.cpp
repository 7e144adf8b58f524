#include "vecsmith/tokenizer.hpp"

#include "fast_path.hpp"
#include "plain_path.hpp"
#include "scratch_pool.hpp"

// Every tokenizer has the plain path, which takes one step after another. Those that are used most
// have a path of their own beside it, which gives the same ids.

namespace vecsmith {

namespace {

// The plain path where there is no other.
class SlowPath : public FastPath {
 public:
  explicit SlowPath(const PlainPath& plain) : plain_(plain) {}

  void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
              std::vector<std::size_t>& ends) const override {
    const auto scratch = idle_.borrow([] { return std::make_unique<PlainPath::Scratch>(); });
    TextIds text_ids(truncation, ids, ends);
    for (const std::string_view text : texts) {
      plain_.append(text, *scratch, ids);
      text_ids.finish();
    }
  }

 private:
  const PlainPath& plain_;
  mutable ScratchPool<PlainPath::Scratch> idle_;
};

std::unique_ptr<FastPath> make_path(const TokenizerSettings& settings, const PlainPath& plain,
                                    CpuLevel level) {
  const kernels::Kernels& kernels = kernels::kernels_of(level);
  // The caches of the fast paths hold ids of so many bits; no real vocabulary has larger ones.
  if (plain.max_id() > kernels::kIdMask) return std::make_unique<SlowPath>(plain);
  if (auto path = make_word_path(settings, plain, kernels)) return path;
  if (auto path = make_byte_path(settings, plain, level)) return path;
  if (auto path = make_space_path(settings, plain, kernels)) return path;
  return std::make_unique<SlowPath>(plain);
}

}  // namespace

Tokenizer::Tokenizer(const TokenizerSettings& settings, CpuLevel level)
    : plain_(std::make_unique<PlainPath>(settings)), fast_(make_path(settings, *plain_, level)) {}

Tokenizer::~Tokenizer() = default;

void Tokenizer::encode(std::span<const std::string_view> texts, Truncation truncation,
                       IdBuffer& ids, std::vector<std::size_t>& ends) const {
  fast_->encode(texts, truncation, ids, ends);
}

std::string Tokenizer::normalize(std::string_view text) const { return plain_->normalize(text); }

std::uint32_t Tokenizer::max_id() const { return plain_->max_id(); }

}  // namespace vecsmith
