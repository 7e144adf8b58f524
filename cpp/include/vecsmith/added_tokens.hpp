#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/trie.hpp"

namespace vecsmith {

/// A token that is found in the text itself, before words are made (Hugging Face's AddedToken).
struct AddedToken {
  std::string content;
  std::uint32_t id = 0;
  bool single_word = false;  ///< only between characters that are not \w
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool normalized = true;    ///< is looked for in the normalised text, itself normalised
};

/// Finds added tokens: leftmost first, the longest where several begin.
class AddedTokenMatcher {
 public:
  /// A stretch of text: an added token, or text between them.
  struct Piece {
    static constexpr std::uint32_t kText = 0xFFFFFFFFU;
    std::string_view text;
    std::uint32_t id = kText;
  };

  /// `contents[i]` is what is looked for in place of `tokens[i].content`; empty ones are left out.
  AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& contents);

  bool empty() const { return tokens_.empty(); }

  /// True when some token takes the white space before it.
  bool takes_space_before() const;

  /// True when some token begins at `text`.
  bool begins_at(const char* text, const char* end) const {
    return trie_.longest_prefix(text, end).length > 0;
  }

  /// Replaces `pieces` by the stretches of `text`, in order, none of them empty.
  void split(std::string_view text, std::vector<Piece>& pieces) const;

  /// True for bytes that some token begins with.
  bool is_first_byte(unsigned char byte) const { return first_bytes_[byte]; }

 private:
  std::vector<AddedToken> tokens_;
  Trie trie_;  // content -> index in tokens_
  std::vector<bool> first_bytes_ = std::vector<bool>(256);
};

}  // namespace vecsmith
