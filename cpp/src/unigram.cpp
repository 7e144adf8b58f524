#include "vecsmith/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "vecsmith/unicode.hpp"

// The best path through the lattice of all tokens of a word, place by place (Viterbi, 1967); a
// place lies before each character and one behind the last.
//
// A word of ordinary size is seen whole. Of one that is a book only a stretch is: a place that no
// token reaches across is on every path, so what lies before the last such place of the stretch is
// final: its ids are appended and only the sum goes on.

namespace vecsmith {

namespace {

constexpr std::uint32_t kNone = PieceTrie::kNone;
// What a character without a token costs more than the worst token.
constexpr double kUnkPenalty = 10.0;

const UnigramSettings& checked(const UnigramSettings& settings) {
  if (settings.tokens.size() != settings.scores.size()) {
    throw std::invalid_argument(std::to_string(settings.tokens.size()) + " tokens but " +
                                std::to_string(settings.scores.size()) + " scores");
  }
  if (settings.unk_id && *settings.unk_id >= settings.tokens.size()) {
    throw std::invalid_argument("the unknown token has id " + std::to_string(*settings.unk_id) +
                                ", but there are only " + std::to_string(settings.tokens.size()) +
                                " tokens");
  }
  for (std::size_t i = 0; i < settings.scores.size(); ++i) {
    if (!(std::abs(settings.scores[i]) <= Unigram::kMostScore)) {
      std::ostringstream message;
      message << "token " << i << " has the score " << settings.scores[i]
              << ", expected one from -1e100 to 1e100";
      throw std::invalid_argument(message.str());
    }
  }
  return settings;
}

// The trie keeps the first of equal pieces, the model the last.
PieceTrie trie_of(const UnigramSettings& settings) {
  std::vector<PieceTrie::Piece> pieces;
  pieces.reserve(settings.tokens.size());
  for (std::size_t i = settings.tokens.size(); i-- > 0;) {
    pieces.push_back({settings.tokens[i], settings.scores[i], static_cast<std::uint32_t>(i)});
  }
  return PieceTrie(std::move(pieces));
}

std::string byte_token(unsigned byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4U], kHex[byte & 15U], '>'};
}

}  // namespace

Unigram::Unigram(const UnigramSettings& settings)
    : pieces_(trie_of(checked(settings))),
      unk_id_(settings.unk_id.value_or(kNone)),
      max_id_(settings.tokens.empty() ? 0 : static_cast<std::uint32_t>(settings.tokens.size() - 1)),
      byte_fallback_(settings.byte_fallback) {
  double least = std::numeric_limits<double>::infinity();
  for (const double score : settings.scores) least = std::min(least, score);
  unk_score_ = least - kUnkPenalty;
  for (unsigned byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = pieces_.find(byte_token(byte));
  }
}

// One word on its way through the lattice.
class Unigram::Search {
 public:
  Search(const Unigram& model, std::string_view word, IdBuffer& ids)
      : m_(model), word_(word), ids_(ids) {
    near_places_[0].score = 0.0;
    near_offsets_[0] = 0;
  }

  void run(std::size_t enough) {
    while (!read_stretch()) {
      const std::size_t cut = last_cut();
      // A stretch of hardly more than the longest token would be moved for every character.
      if (cut == 0 || s_.capacity < 2 * m_.pieces_.longest()) {
        grow();
      } else {
        append_path(cut);
        if (ids_.size() >= enough) return;
        drop(cut);
      }
    }
    for (; at_ < n_; ++at_) extend();
    append_path(n_);
    finish_unknown();
  }

 private:
  // The best way to a place: the place where its last token begins, and 2^32 times the token's
  // node.
  struct Place {
    double score;
    std::uint64_t way;
  };
  static constexpr std::uint32_t kUnknown = 0;  // the root: a character without a token
  static constexpr std::size_t kNear = 64;

  // Places before characters, and the characters.
  struct Stretch {
    Place* places;
    std::uint32_t* numbers;  // of the characters, see PieceTrie
    std::uint32_t* offsets;  // of the places, in bytes
    std::size_t capacity;    // places
  };

  // Reads on until the word is at its end or the stretch is full; tells whether the former.
  bool read_stretch() {
    const char* const begin = word_.data() + base_;
    const char* const end = word_.data() + word_.size();
    const char* p = begin + s_.offsets[n_];
    const PieceTrie::Node* const nodes = m_.pieces_.nodes();
    std::uint32_t base = 0;
    std::size_t n = n_;
    while (p != end && n + 1 < s_.capacity) {
      const std::uint32_t number = m_.pieces_.number(decode_utf8(p, end));
      __builtin_prefetch(&nodes[base + number]);
      base = nodes[nodes[0].base + number].base;
      s_.numbers[n++] = number;
      s_.offsets[n] = static_cast<std::uint32_t>(p - begin);
      s_.places[n] = {PieceTrie::kNoScore, 0};
    }
    s_.numbers[n] = PieceTrie::kStranger;
    n_ = n;
    return p == end;
  }

  // The last place of a full stretch that no token reaches across, 0 for none.
  std::size_t last_cut() {
    const std::size_t ahead = std::max(m_.pieces_.longest(), std::size_t{1});
    std::size_t cut = 0;
    for (; at_ + ahead <= n_; ++at_) {
      if (at_ >= reached_) cut = at_;
      reached_ = std::max(reached_, extend());
    }
    return cut;
  }

  // Tries every token that begins here, the shortest first; returns how far they may reach.
  std::size_t extend() const {
    const PieceTrie::Node* const nodes = m_.pieces_.nodes();
    const std::uint32_t* const numbers = s_.numbers;
    const double so_far = s_.places[at_].score;
    std::size_t to = at_;
    std::uint32_t node = 0;
    std::uint32_t next = nodes[0].base + numbers[to];
    if (nodes[next].parent != 0 || nodes[next].score == PieceTrie::kNoScore) reach_unknown(so_far);
    while (nodes[next].parent == node) {
      reach(++to, so_far + nodes[next].score, next);
      node = next;
      next = nodes[node].base + numbers[to];
    }
    return std::max(to, at_ + 1);
  }

  // No branch: which of two ways is better is hard to foresee.
  void reach(std::size_t to, double score, std::uint32_t node) const {
    Place& place = s_.places[to];
    const std::uint64_t way = std::uint64_t{node} << 32U | at_;
    const std::uint64_t better = std::uint64_t{0} - (score > place.score ? 1 : 0);
    place.score = score > place.score ? score : place.score;
    place.way = (way & better) | (place.way & ~better);
  }

  void reach_unknown(double so_far) const {
    const double score = so_far + m_.unk_score_;
    if (m_.unk_id_ == kNone && score > s_.places[at_ + 1].score) {
      throw std::invalid_argument(
          "a text holds a character without a token, and the model has no unknown token: set "
          "unk_id");
    }
    reach(at_ + 1, score, kUnknown);
  }

  // Appends the tokens of the best path to a place.
  void append_path(std::size_t to) {
    std::uint32_t next = kNone;
    for (auto place = static_cast<std::uint32_t>(to); place != 0;) {
      std::uint64_t& way = s_.places[place].way;
      const auto begin = static_cast<std::uint32_t>(way);
      m_.pieces_.prefetch_id(static_cast<std::uint32_t>(way >> 32U));
      way = (way & ~std::uint64_t{0xFFFFFFFFU}) | next;  // from here on: where the next token ends
      next = place;
      place = begin;
    }
    for (std::uint32_t begin = 0; next != kNone;) {
      const std::uint64_t way = s_.places[next].way;
      append_token(begin, next, static_cast<std::uint32_t>(way >> 32U));
      begin = std::exchange(next, static_cast<std::uint32_t>(way));
    }
  }

  // Begins anew from a place; no token reaches across it.
  void drop(std::size_t to) {
    const std::uint32_t n_bytes = s_.offsets[to];
    for (std::size_t i = to; i <= n_; ++i) {
      s_.places[i - to] = s_.places[i];
      s_.places[i - to].way -= to;
      s_.offsets[i - to] = s_.offsets[i] - n_bytes;
      s_.numbers[i - to] = s_.numbers[i];
    }
    base_ += n_bytes;
    n_ -= to;
    at_ -= to;
    reached_ -= to;
  }

  void append_token(std::uint32_t begin, std::uint32_t end, std::uint32_t node) {
    const std::uint32_t id = node == kUnknown ? m_.unk_id_ : m_.pieces_.id(node);
    if (id == m_.unk_id_) {
      if (!in_unknown_) unknown_begin_ = base_ + s_.offsets[begin];
      in_unknown_ = true;
      unknown_end_ = base_ + s_.offsets[end];
      return;
    }
    finish_unknown();
    ids_.push_back(id);
  }

  // What lies in a row of unknown tokens is looked up once more as a whole.
  void finish_unknown() {
    if (!in_unknown_) return;
    in_unknown_ = false;
    const std::string_view row = word_.substr(unknown_begin_, unknown_end_ - unknown_begin_);
    const std::uint32_t id = m_.pieces_.find(row);
    const auto id_of_byte = [&](char c) { return m_.byte_ids_[static_cast<unsigned char>(c)]; };
    if (id == kNone && m_.byte_fallback_ &&
        std::ranges::all_of(row, [&](char c) { return id_of_byte(c) != kNone; })) {
      for (const char c : row) ids_.push_back(id_of_byte(c));
    } else {
      ids_.push_back(id == kNone ? m_.unk_id_ : id);
    }
  }

  void grow() {
    const std::size_t capacity = 2 * s_.capacity;
    std::vector<Place> places(capacity);
    std::vector<std::uint32_t> numbers(capacity), offsets(capacity);
    std::copy_n(s_.places, n_ + 1, places.data());
    std::copy_n(s_.numbers, n_ + 1, numbers.data());
    std::copy_n(s_.offsets, n_ + 1, offsets.data());
    far_places_ = std::move(places);
    far_numbers_ = std::move(numbers);
    far_offsets_ = std::move(offsets);
    s_ = {far_places_.data(), far_numbers_.data(), far_offsets_.data(), capacity};
  }

  const Unigram& m_;
  std::string_view word_;
  IdBuffer& ids_;
  std::size_t base_ = 0;     // bytes of the word before the stretch
  std::size_t n_ = 0;        // characters in the stretch
  std::size_t at_ = 0;       // place whose tokens are tried
  std::size_t reached_ = 0;  // no token that begins before this place ends behind it
  bool in_unknown_ = false;
  std::size_t unknown_begin_ = 0, unknown_end_ = 0;
  Place near_places_[kNear];
  std::uint32_t near_numbers_[kNear];
  std::uint32_t near_offsets_[kNear];
  std::vector<Place> far_places_;
  std::vector<std::uint32_t> far_numbers_, far_offsets_;
  Stretch s_ = {near_places_, near_numbers_, near_offsets_, kNear};
};

void Unigram::append(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  if (!word.empty()) Search(*this, word, ids).run(enough);
}

}  // namespace vecsmith
