#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vecsmith/added_tokens.hpp"
#include "vecsmith/cpu.hpp"
#include "vecsmith/ids.hpp"
#include "vecsmith/normalizer.hpp"
#include "vecsmith/wordpiece.hpp"

namespace vecsmith {

namespace kernels {
struct Kernels;
struct ByteClasses;
}  // namespace kernels

/// A BERT tokenizer as plain values.
struct TokenizerSettings {
  NormalizerSettings normalizer;
  WordPieceSettings wordpiece;
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
/// memory of about 5 MB, mostly a cache of words, on which the ids never depend.
class Tokenizer {
 public:
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
  std::uint32_t max_id() const { return max_id_; }

 private:
  class Scratch;
  class Lease;
  class Run;

  std::unique_ptr<Scratch> make_scratch() const;
  void append_text(std::string_view text, Scratch& scratch, IdBuffer& ids) const;
  void append_plain(std::string_view text, Scratch& scratch, IdBuffer& ids) const;
  void append_words(std::string_view normalized, IdBuffer& ids) const;
  void append_segment(std::string_view segment, std::size_t enough, Scratch& scratch,
                      IdBuffer& ids) const;
  void classify_bytes();

  Normalizer normalizer_;
  WordPiece wordpiece_;
  AddedTokenMatcher raw_tokens_;
  AddedTokenMatcher normalized_tokens_;
  std::uint32_t max_id_;
  bool always_plain_ = false;
  std::vector<std::pair<std::string, std::uint32_t>> seeds_;  // words every cache begins with
  std::unique_ptr<kernels::ByteClasses> classes_;
  const kernels::Kernels& kernels_;
  mutable std::mutex lock_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace vecsmith
