#pragma once

#include <string>
#include <string_view>

namespace vecsmith {

namespace normalizers {

/// Steps of Hugging Face's BertNormalizer; `strip_accents` is resolved (null means `lowercase`).
struct Bert {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};

}  // namespace normalizers

/// Text -> normalised text, as Hugging Face's BertNormalizer gives it.
class BertNormalizer {
 public:
  explicit BertNormalizer(normalizers::Bert settings) : settings_(settings) {}

  /// Appends the normalised form of UTF-8 `text` to `out`. Ill-formed bytes count as U+FFFD.
  void append(std::string_view text, std::string& out) const;

  const normalizers::Bert& settings() const { return settings_; }

 private:
  normalizers::Bert settings_;
};

}  // namespace vecsmith
