#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vecsmith/bert_normalizer.hpp"
#include "vecsmith/pattern.hpp"

namespace vecsmith {

/// The steps of Hugging Face's normalizers, by its own names.
namespace normalizers {

struct Nfc {};
struct Nfd {};
struct Nfkc {};
struct Nfkd {};
struct Lowercase {};
struct StripAccents {};
struct Nmt {};
struct Strip {
  bool left = true;
  bool right = true;
};
struct Prepend {
  std::string prefix;
};
struct Replace {
  Pattern pattern;
  std::string content;
};
/// A SentencePiece character map, as its bytes.
struct Precompiled {
  std::string charsmap;
};

}  // namespace normalizers

using NormalizerStep =
    std::variant<normalizers::Bert, normalizers::Nfc, normalizers::Nfd, normalizers::Nfkc,
                 normalizers::Nfkd, normalizers::Lowercase, normalizers::StripAccents,
                 normalizers::Nmt, normalizers::Strip, normalizers::Prepend, normalizers::Replace,
                 normalizers::Precompiled>;

/// Steps in the order they are taken; none leaves texts as they are.
using NormalizerSettings = std::vector<NormalizerStep>;

/// Text -> normalised text, as Hugging Face's normalizers give it one after another.
class Normalizer {
 public:
  /// Throws std::invalid_argument for a step that cannot be: an empty pattern, a broken map.
  explicit Normalizer(NormalizerSettings settings);

  /// Appends the normalised form of UTF-8 `text` to `out`. Ill-formed bytes count as U+FFFD.
  void append(std::string_view text, std::string& out) const;

  const NormalizerSettings& settings() const { return settings_; }

  /// One or several of the settings' steps, ready to be taken.
  class Step;

 private:
  NormalizerSettings settings_;
  std::vector<std::shared_ptr<const Step>> steps_;
};

}  // namespace vecsmith
