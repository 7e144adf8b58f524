#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vecsmith/ids.hpp"

namespace vecsmith {

/// Vocabulary and rules of a BPE model.
struct BpeSettings {
  std::vector<std::string> tokens;  ///< UTF-8 as in the file, distinct
  std::vector<std::uint32_t> ids;   ///< one for each token, distinct
  /// Pairs that merge, the most important first: indices into `tokens` of the left part, the right
  /// part and what they become. Of two entries for one pair the last counts.
  struct Merge {
    std::uint32_t left, right, merged;
  };
  std::vector<Merge> merges;
  std::optional<std::uint32_t> unk_id;
  bool byte_level = false;     ///< words are raw bytes; tokens are spelled in GPT-2's byte alphabet
  bool byte_fallback = false;  ///< characters without a token become <0xNN> tokens
  bool fuse_unk = false;       ///< unknown characters in a row make one unknown token
  bool ignore_merges = false;  ///< a word that is a token is that token
};

/// Words -> token ids by byte-pair encoding (Sennrich et al., 2016, as in Hugging Face's BPE).
///
/// A word may be a whole text: time grows with n log n, memory does not grow but for odd settings.
class Bpe {
 public:
  static constexpr std::size_t kAll = static_cast<std::size_t>(-1);

  /// Throws std::invalid_argument when the parts do not fit each other: where a merge does not make
  /// the text of its two parts, both of them some text, or where two tokens share an id.
  explicit Bpe(const BpeSettings& settings);
  ~Bpe();
  Bpe(Bpe&&) noexcept;
  Bpe& operator=(Bpe&&) noexcept;

  /// Appends the ids of one word; of a long one may stop once `ids` holds `enough`.
  void append(std::string_view word, IdBuffer& ids, std::size_t enough = kAll) const;

  /// The same of several words, and appends to `ends` the size of `ids` after each. Faster than one
  /// by one: short words wait for memory together.
  void append_all(std::span<const std::string_view> words, IdBuffer& ids,
                  std::vector<std::size_t>& ends) const;

  /// Largest id this model emits.
  std::uint32_t max_id() const { return max_id_; }

 private:
  class Rules;

  std::unique_ptr<const Rules> rules_;
  std::uint32_t max_id_ = 0;
};

}  // namespace vecsmith
