#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vecsmith {

/// A SentencePiece character map ("precompiled_charsmap"), applied as Hugging Face's Precompiled
/// normalizer applies it.
///
/// The map is a double array of byte strings and a text for each. The library goes through a text
/// by extended grapheme clusters. Of a cluster of fewer than six bytes it looks for the shortest
/// key that the cluster begins with, and puts that key's text in the place of the *whole* cluster.
/// Where there is none, and in longer clusters, it does the same with every character. A NUL ends
/// the search.
class Charsmap {
 public:
  /// Longest text that may take the place of a cluster, so that no map makes texts grow without
  /// bound; the longest in the maps of SentencePiece has 33 bytes.
  static constexpr std::size_t kMaxReplacement = 255;
  /// Largest map; those of SentencePiece have 250 to 320 thousand bytes.
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 24;

  /// Reads the bytes of a map and keeps a copy. Throws std::invalid_argument for those that the
  /// library refuses, or that would make it fail on some text.
  explicit Charsmap(std::string_view bytes);

  /// Appends `text`, mapped. Ill-formed bytes count as U+FFFD.
  void append(std::string_view text, std::string& out) const;

  /// True when append() would copy `text` as it is; the test costs little more than reading it.
  /// False may also be said of a text in which a mark follows what a longer key begins with.
  [[nodiscard]] bool is_unchanged(std::string_view text) const;

 private:
  class Survey;

  struct Change {
    const char* at;    // a character that may change, or the end
    bool joined;       // it may be in one cluster with the character before it
    bool well_formed;  // false: the character is not
  };

  Change next_change(const char* p, const char* end) const;
  bool append_well_formed(std::string_view text, std::string& out) const;
  void append_cluster(std::string_view cluster, std::string& out) const;
  bool append_match(std::string_view chunk, std::string& out) const;
  std::uint8_t entry(char32_t c) const;

  std::vector<std::uint32_t> units_;  // the double array
  std::string texts_;                 // each with a NUL behind it
  // For each code point its grapheme class and what the map does to it, in pages of 128.
  std::vector<std::uint16_t> page_of_;
  std::vector<std::uint8_t> entries_;
  bool keeps_printable_ = true;  // no key begins with a printable ASCII character and ends there
};

}  // namespace vecsmith
