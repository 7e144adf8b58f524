#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vecsmith/added_tokens.hpp"
#include "vecsmith/bpe.hpp"
#include "vecsmith/cpu.hpp"
#include "vecsmith/ids.hpp"
#include "vecsmith/normalizer.hpp"
#include "vecsmith/splitter.hpp"
#include "vecsmith/unigram.hpp"
#include "vecsmith/word_level.hpp"
#include "vecsmith/wordpiece.hpp"

namespace vecsmith {

class FastPath;
class PlainPath;

/// A tokenizer as plain values.
struct TokenizerSettings {
  NormalizerSettings normalizer;
  SplitterSettings splitter;
  std::variant<WordPieceSettings, BpeSettings, UnigramSettings, WordLevelSettings> model;
  std::vector<AddedToken> added_tokens;
};

/// How many tokens of a text count.
struct Truncation {
  static constexpr std::size_t kAll = static_cast<std::size_t>(-1);
  std::size_t max_length = kAll;
  bool keep_end = false;  ///< drop from the start instead
};

/// Text -> token ids, as Hugging Face `tokenizers` gives them without special tokens.
///
/// Any number of threads may use one at once, also in a forked child. Each call borrows working
/// memory of a few MB, mostly a cache of words, on which the ids never depend.
class Tokenizer {
 public:
  /// Throws std::invalid_argument for settings that do not fit each other.
  explicit Tokenizer(const TokenizerSettings& settings, CpuLevel level = best_cpu_level());
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Appends the ids of `texts` (UTF-8) to `ids`, and to `ends` the size of `ids` after each text.
  void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
              std::vector<std::size_t>& ends) const;

  /// Normalised form of `text`, added tokens not looked for.
  std::string normalize(std::string_view text) const;

  /// Largest id this tokenizer emits.
  std::uint32_t max_id() const;

 private:
  std::unique_ptr<PlainPath> plain_;
  std::unique_ptr<FastPath> fast_;
};

}  // namespace vecsmith
