#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/byte_sets.hpp"
#include "vecsmith/character_classes.hpp"

namespace vecsmith {

/// The regular expressions that cut a text for byte-level BPE, known well enough to find the pieces
/// of 64 bytes at a time. They leave nothing of a text out, and never look behind where they are,
/// so the pieces of a text may be found from the beginning of any of them on.
class BytePattern {
 public:
  /// GPT-2's, that of ByteLevel itself.
  BytePattern();

  /// The one spelled `regex`, or nothing where none of those known is.
  static std::optional<BytePattern> of_regex(std::string_view regex);

  /// What a byte is to the pattern; the numbers of sets in `ByteSets`.
  enum Set : unsigned {
    kLetters,   ///< \p{L}
    kNumbers,   ///< \p{N}
    kSpaces,    ///< \s
    kNewlines,  ///< \r and \n
    kBlanks,    ///< the space itself
    kApostrophes,
    kTriggers,  ///< whatever the caller looks for
  };
  /// The sets of ASCII bytes, kTriggers left empty.
  kernels::ByteSets sets() const;

  /// A stretch of text: a whole one or a part of one that begins where a piece does.
  struct Stretch {
    const unsigned char* text;  ///< 64 bytes behind its end may be read
    std::size_t n;
    bool is_end;                 ///< nothing of the text comes after it
    kernels::BlockSets* blocks;  ///< where its ASCII bytes are; those of others are added
    std::uint64_t* starts;       ///< gets a bit for each byte that begins a piece
  };

  /// Finds the pieces of a stretch; false where it is not well-formed UTF-8.
  bool find_pieces(const Stretch& stretch) const;

  /// Of a stretch that is not the end of its text, with its pieces found: where the last piece
  /// begins before which all are sure. 0 where none is, which takes a piece that fills the stretch.
  std::size_t last_sure(const Stretch& stretch) const;

  /// Where the piece that begins at `at` ends: the pattern step by step, for pieces of any length.
  std::size_t end_of_piece(std::string_view text, std::size_t at) const;

 private:
  enum class Family { kGpt2, kLlama };

  static constexpr unsigned kOthers = kernels::ByteSets::kSets;  // no letter, number or space

  BytePattern(Family family, std::size_t most_digits);

  static bool is_newline(unsigned char byte) { return byte == '\n' || byte == '\r'; }

  unsigned kind_of(char32_t c) const { return kinds_[character_class(c)]; }
  bool mark_characters(const Stretch& s) const;
  void mark_gpt2(const Stretch& s) const;
  void mark_llama(const Stretch& s) const;
  void fix_wide_spaces(const Stretch& s) const;
  void join_wide_marks(const Stretch& s) const;
  void fix_newlines(const Stretch& s) const;
  void fix_newline_run(const Stretch& s, std::size_t begin, std::size_t end) const;
  void cut_contractions(const Stretch& s) const;
  void cut_numbers(const Stretch& s) const;
  std::size_t contraction(const unsigned char* text, std::size_t n) const;
  std::size_t end_of_run(std::string_view text, std::size_t at, unsigned kind,
                         std::size_t most) const;
  std::size_t end_of_gpt2_piece(std::string_view text, std::size_t at) const;
  std::size_t end_of_llama_piece(std::string_view text, std::size_t at) const;
  std::size_t end_of_spaces(std::string_view text, std::size_t at) const;

  Family family_;
  std::size_t most_digits_;                            // of a piece; 0: any number
  std::array<std::uint8_t, kCharacterClasses> kinds_;  // kLetters, kNumbers, kSpaces or kOthers
};

}  // namespace vecsmith
