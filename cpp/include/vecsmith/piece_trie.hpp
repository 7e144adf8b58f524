#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace vecsmith {

/// Pieces of text with a score and an id each, as a double array (Aoe, 1989) over characters: one
/// load a character, whatever its bytes, and the score comes with it.
///
/// Characters are numbered, those that most pieces hold first, so that the children of a node lie
/// close together.
class PieceTrie {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  /// Score of a node at which no piece ends: less than any sum.
  static constexpr double kNoScore = -std::numeric_limits<double>::infinity();
  /// Number of a character that is in no piece; no child has it.
  static constexpr std::uint32_t kStranger = 0;

  struct Piece {
    std::string_view text;
    double score;
    std::uint32_t id;
  };

  /// A child by the character `c` is at base + c, and knows its parent.
  struct Node {
    double score = kNoScore;
    std::uint32_t base = 0;        ///< 0: it has no children
    std::uint32_t parent = kNone;  ///< kNone: the place is free
  };

  PieceTrie() : PieceTrie(std::vector<Piece>{}) {}

  /// The views are not kept. Of equal texts the first stays; empty and ill-formed ones are left
  /// out.
  explicit PieceTrie(std::vector<Piece> pieces);

  /// The nodes, the first of which is the root. Every child of every character can be looked at.
  const Node* nodes() const { return nodes_.data(); }
  /// Id of the piece that ends at a node with a score.
  std::uint32_t id(std::uint32_t node) const { return ids_[node]; }
  /// Asks for the id of a node: it lies apart from what walks need.
  void prefetch_id(std::uint32_t node) const { __builtin_prefetch(&ids_[node]); }
  /// Number of a code point, or kStranger.
  std::uint32_t number(char32_t c) const {
    return numbers_[page_of_[c >> kPageBits] * std::size_t{kPageSize} + (c & (kPageSize - 1))];
  }
  /// Id of the piece `text`, or kNone.
  std::uint32_t find(std::string_view text) const;
  /// Characters of the longest piece.
  std::size_t longest() const { return longest_; }

 private:
  class Builder;

  static constexpr std::uint32_t kPageBits = 6;
  static constexpr std::uint32_t kPageSize = 1U << kPageBits;

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> ids_;
  std::vector<std::uint16_t> page_of_;  // of code points, in numbers_; page 0 is all strangers
  std::vector<std::uint32_t> numbers_;
  std::size_t longest_ = 0;
};

}  // namespace vecsmith
