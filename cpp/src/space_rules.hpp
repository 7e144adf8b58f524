#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/normalizer.hpp"
#include "vecsmith/tokenizer.hpp"

namespace vecsmith {

/// What white space means to a tokenizer whose words never reach across a space: a text may then be
/// cut at every separator, and what lies between two of them be treated alone.
struct SpaceRules {
  /// What a run of separators is worth.
  enum class Spaces {
    kDropped,  ///< nothing: words are only parted
    kOne,  ///< one mark, whatever its length; spaces that a segment begins or ends with belong to
           ///< it
    kCounted,  ///< a mark each: all but the last are words of their own
    kJoined,   ///< a mark each, all part of the word that follows; the text is one word to the
               ///< model, which never merges anything with a mark behind it
  };

  /// What an ASCII byte is.
  enum class Byte : std::uint8_t { kWord, kSeparator, kOdd };

  Spaces spaces = Spaces::kDropped;
  std::string mark;          ///< what a space becomes at the beginning of a word; none: empty
  bool marks_first = false;  ///< a word that no space precedes gets the mark, too
  bool adds_mark = false;    ///< where spaces are joined: the first word gets one beside theirs
  bool strips_left = false;  ///< separators at the beginning of a text are nothing
  bool strips_right = false;
  bool cuts_whitespace = false;   ///< words end at every white space of Unicode, not only at spaces
  bool needs_splitter = false;    ///< there are steps that cut within words
  std::array<Byte, 128> bytes{};  ///< kOdd: what it does depends on its neighbours
  NormalizerSettings inner;       ///< the steps that change what lies between separators
  std::vector<Normalizer> before_maps;  ///< of each character map that steps come before: those

  /// Whether separators around a segment leave it as it is alone, `normalized` by `normalizer`,
  /// which takes the inner steps.
  bool stands_alone(std::string_view segment, std::string_view normalized,
                    const Normalizer& normalizer) const;
  /// Whether a normalised segment is not empty and has neither a mark nor white space at its ends,
  /// which could be stripped or counted.
  bool has_clean_ends(std::string_view inner) const;
  /// Whether nothing in a normalised segment ends a word.
  bool is_one_word(std::string_view inner) const;

 private:
  enum class Ends { kOwn, kPerhaps, kJoined };
  static Ends ends_of(std::string_view segment);
  bool may_end_word(std::string_view inner) const;
};

/// The rules of a tokenizer, or nothing where it has no such.
std::optional<SpaceRules> space_rules_of(const TokenizerSettings& settings);

}  // namespace vecsmith
