#include "vecsmith/piece_trie.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "slot_search.hpp"
#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

// Lays the nodes out, depth first: what one walk touches lies close together.
class PieceTrie::Builder {
 public:
  Builder(PieceTrie& trie, std::vector<Piece>& pieces) : t_(trie), pieces_(pieces) {}

  void run() {
    sort_pieces();
    number_characters();
    spell_pieces();
    lay_out();
    t_.nodes_.shrink_to_fit();
    t_.ids_.shrink_to_fit();
  }

 private:
  static constexpr std::size_t kMostHints = 256;
  // Vocabularies of languages need less than two places for each character that is spelled.
  static constexpr std::size_t kMostPlaces = std::size_t{1} << 30;
  static constexpr std::uint32_t kLastCodePoint = 0x10FFFF;

  struct Range {
    std::uint32_t node;
    std::uint32_t begin, end, depth;
  };

  void sort_pieces() {
    std::erase_if(pieces_, [](const Piece& piece) {
      return piece.text.empty() || !is_well_formed(piece.text);
    });
    std::ranges::stable_sort(pieces_, {}, &Piece::text);
    const auto rest = std::ranges::unique(pieces_, {}, &Piece::text);
    pieces_.erase(rest.begin(), rest.end());
  }

  void number_characters() {
    t_.page_of_.assign((kLastCodePoint >> kPageBits) + 1, 0);
    t_.numbers_.assign(kPageSize, kStranger);
    // First how often each character is met, then the places in that order.
    for (const Piece& piece : pieces_) {
      for_each_character(piece.text, [&](char32_t c) { ++own_number(c); });
    }
    std::vector<std::pair<std::uint32_t, std::size_t>> counts;  // place in numbers_
    for (std::size_t i = 0; i < t_.numbers_.size(); ++i) {
      if (t_.numbers_[i] > 0) counts.emplace_back(t_.numbers_[i], i);
    }
    std::ranges::stable_sort(counts, std::ranges::greater{}, [](const auto& e) { return e.first; });
    for (const auto& [count, place] : counts) t_.numbers_[place] = ++n_characters_;
  }

  std::uint32_t& own_number(char32_t c) {
    std::uint16_t& page = t_.page_of_[c >> kPageBits];
    if (page == 0) {
      page = static_cast<std::uint16_t>(t_.numbers_.size() / kPageSize);
      t_.numbers_.resize(t_.numbers_.size() + kPageSize, kStranger);
    }
    return t_.numbers_[page * std::size_t{kPageSize} + (c & (kPageSize - 1))];
  }

  void spell_pieces() {
    begins_.reserve(pieces_.size() + 1);
    for (const Piece& piece : pieces_) {
      const std::size_t begin = spelled_.size();
      begins_.push_back(begin);
      for_each_character(piece.text, [&](char32_t c) { spelled_.push_back(t_.number(c)); });
      t_.longest_ = std::max(t_.longest_, spelled_.size() - begin);
    }
    begins_.push_back(spelled_.size());
  }

  template <typename Take>
  static void for_each_character(std::string_view text, Take take) {
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p != end;) take(decode_utf8(p, end));
  }

  void lay_out() {
    grow(pieces_.size() * 3 / 2);
    // The root is nobody's child.
    t_.nodes_[0].parent = kNone - 1;
    std::vector<Range> open{{0, 0, static_cast<std::uint32_t>(pieces_.size()), 0}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      add_children(range, open);
    }
  }

  void add_children(Range range, std::vector<Range>& open) {
    std::uint32_t i = range.begin;
    if (i < range.end && begins_[i + 1] - begins_[i] == range.depth) {
      t_.nodes_[range.node].score = pieces_[i].score;
      t_.ids_[range.node] = pieces_[i].id;
      ++i;
    }
    labels_.clear();
    starts_.clear();
    for (; i < range.end; ++i) {
      const std::uint32_t label = spelled_[begins_[i] + range.depth];
      if (labels_.empty() || labels_.back() != label) {
        labels_.push_back(label);
        starts_.push_back(i);
      }
    }
    if (labels_.empty()) return;
    starts_.push_back(range.end);
    const std::uint32_t base = search_.find_base(
        labels_, [&](std::size_t from) { grow(from); },
        [&](std::size_t slot) { return t_.nodes_[slot].parent == kNone; });
    t_.nodes_[range.node].base = base;
    for (const std::uint32_t label : labels_) t_.nodes_[base + label].parent = range.node;
    for (std::size_t k = 0; k < labels_.size(); ++k) {
      open.push_back({base + labels_[k], starts_[k], starts_[k + 1], range.depth + 1});
    }
  }

  // Makes room for any child of a node whose base is `base`, and for its children.
  void grow(std::size_t base) {
    const std::size_t size = base + n_characters_ + 1;
    if (t_.nodes_.size() >= size) return;
    const std::size_t most = std::min(kMostPlaces, 8 * spelled_.size() + 4 * n_characters_ + 4096);
    if (size > most) {
      throw std::invalid_argument(
          "pieces whose characters differ so much that their tree needs more than " +
          std::to_string(most) + " places");
    }
    t_.nodes_.resize(std::max(size, std::min(most, t_.nodes_.size() * 5 / 4)));
    t_.ids_.resize(t_.nodes_.size(), kNone);
  }

  PieceTrie& t_;
  std::vector<Piece>& pieces_;
  std::uint32_t n_characters_ = 0;
  std::vector<std::uint32_t> spelled_;  // all pieces, as numbers
  std::vector<std::size_t> begins_;     // of each piece in spelled_
  std::vector<std::uint32_t> labels_;   // of the children of one node
  std::vector<std::uint32_t> starts_;   // of their pieces
  SlotSearch search_{kMostHints};
};

PieceTrie::PieceTrie(std::vector<Piece> pieces) { Builder(*this, pieces).run(); }

std::uint32_t PieceTrie::find(std::string_view text) const {
  std::uint32_t node = 0;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) {
    const std::uint32_t next = nodes_[node].base + number(decode_utf8(p, end));
    if (nodes_[next].parent != node) return kNone;
    node = next;
  }
  return nodes_[node].score == kNoScore ? kNone : ids_[node];
}

}  // namespace vecsmith
