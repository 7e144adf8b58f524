#include "vecsmith/unigram.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

// The best path through the lattice of all tokens of a word, place by place (Viterbi, 1967).
//
// Two things keep it small. A place that no token reaches across is on every path, so what lies
// before it is final: its ids are appended and only the sum goes on. And a place is marked empty
// when a token first reaches beyond it, so nothing is cleared in advance. Text in words needs a few
// dozen places; a text without an end of words is cut this way every few characters.

namespace vecsmith {

namespace {

constexpr std::uint32_t kNone = Trie::kNone;
// What a character without a token costs more than the worst token.
constexpr double kUnkPenalty = 10.0;
constexpr std::size_t kWidest = 4;  // bytes of a character

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
  return settings;
}

// The trie keeps the first of equal keys, the model the last.
Trie trie_of(const UnigramSettings& settings) {
  std::vector<Trie::Entry> entries;
  entries.reserve(settings.tokens.size());
  for (std::size_t i = settings.tokens.size(); i-- > 0;) {
    if (!settings.tokens[i].empty()) {
      entries.emplace_back(settings.tokens[i], static_cast<std::uint32_t>(i));
    }
  }
  return Trie(std::move(entries));
}

std::string byte_token(unsigned byte) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  return {'<', '0', 'x', kHex[byte >> 4U], kHex[byte & 15U], '>'};
}

// Bytes of the character that begins with `lead`.
std::size_t width_of(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

Unigram::Unigram(const UnigramSettings& settings)
    : trie_(trie_of(checked(settings))),
      scores_(settings.scores),
      unk_id_(settings.unk_id.value_or(kNone)),
      max_id_(settings.tokens.empty() ? 0 : static_cast<std::uint32_t>(settings.tokens.size() - 1)),
      byte_fallback_(settings.byte_fallback) {
  double least = std::numeric_limits<double>::infinity();
  for (const double score : settings.scores) least = std::min(least, score);
  unk_score_ = least - kUnkPenalty;
  for (const std::string& token : settings.tokens) longest_ = std::max(longest_, token.size());
  for (unsigned byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = trie_.find(byte_token(byte));
  }
}

// One word on its way through the lattice.
class Unigram::Search {
 public:
  Search(const Unigram& model, std::string_view word, IdBuffer& ids)
      : m_(model), word_(word), ids_(ids) {
    places_[0].score = 0.0;
  }

  void run(std::size_t enough) {
    while (base_ + at_ < word_.size()) {
      if (at_ == reached_ && at_ > 0) {
        finish_paths();
        if (ids_.size() >= enough) return;
      }
      if (at_ + ahead() > capacity_) grow();
      extend();
    }
    finish_paths();
    finish_unknown();
  }

 private:
  // The best way to a place: where its last token begins, and which that is.
  struct Place {
    double score;
    std::uint32_t begin;  // kNone: no way yet
    std::uint32_t id;
  };
  static constexpr std::size_t kNear = 512;

  // How far beyond this place a token may reach, and one place more.
  std::size_t ahead() const {
    const std::size_t rest = word_.size() - base_ - at_;
    return std::min(rest, std::max(m_.longest_, kWidest)) + 1;
  }

  // Tries every token that begins here, the shortest first.
  void extend() {
    const char* const here = word_.data() + base_ + at_;
    const char* const end = word_.data() + word_.size();
    const std::size_t width = std::min(width_of(*here), static_cast<std::size_t>(end - here));
    const double so_far = places_[at_].score;
    bool is_known = false;
    m_.trie_.for_each_prefix(here, end, [&](std::size_t length, std::uint32_t id) {
      reach(at_ + length, so_far + m_.scores_[id], id);
      is_known |= length == width;
    });
    if (!is_known) reach(at_ + width, so_far + m_.unk_score_, m_.unk_id_);
    at_ += width;
  }

  void reach(std::size_t to, double score, std::uint32_t id) {
    if (to > reached_) {
      for (std::size_t i = reached_ + 1; i < to; ++i) places_[i].begin = kNone;
      reached_ = to;
    } else if (places_[to].begin != kNone && !(score > places_[to].score)) {
      return;
    }
    if (id == kNone) {
      throw std::invalid_argument(
          "a text holds a character without a token, and the model has no unknown token: set "
          "unk_id");
    }
    places_[to] = {score, static_cast<std::uint32_t>(at_), id};
  }

  // Appends the tokens of the best path to this place, and begins anew from its sum.
  void finish_paths() {
    std::uint32_t next = kNone;
    for (auto place = static_cast<std::uint32_t>(at_); place != 0;) {
      const std::uint32_t begin = places_[place].begin;
      places_[place].begin = next;  // from here on: where the next token ends
      next = place;
      place = begin;
    }
    std::size_t begin = base_;
    for (std::uint32_t place = next; place != kNone; place = places_[place].begin) {
      const std::size_t end = base_ + place;
      append_token(begin, end, places_[place].id);
      begin = end;
    }
    base_ += at_;
    places_[0].score = places_[at_].score;
    at_ = 0;
    reached_ = 0;
  }

  void append_token(std::size_t begin, std::size_t end, std::uint32_t id) {
    if (id == m_.unk_id_) {
      if (!in_unknown_) unknown_begin_ = begin;
      in_unknown_ = true;
      unknown_end_ = end;
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
    const std::uint32_t id = m_.trie_.find(row);
    const auto id_of_byte = [&](char c) { return m_.byte_ids_[static_cast<unsigned char>(c)]; };
    if (id == kNone && m_.byte_fallback_ &&
        std::ranges::all_of(row, [&](char c) { return id_of_byte(c) != kNone; })) {
      for (const char c : row) ids_.push_back(id_of_byte(c));
    } else {
      ids_.push_back(id == kNone ? m_.unk_id_ : id);
    }
  }

  void grow() {
    std::vector<Place> larger(2 * (at_ + ahead()));
    std::copy(places_, places_ + reached_ + 1, larger.begin());
    far_ = std::move(larger);
    places_ = far_.data();
    capacity_ = far_.size();
  }

  const Unigram& m_;
  std::string_view word_;
  IdBuffer& ids_;
  std::size_t base_ = 0;     // of the word, where places_[0] is
  std::size_t at_ = 0;       // place whose tokens are tried
  std::size_t reached_ = 0;  // last place that some token ends at
  bool in_unknown_ = false;
  std::size_t unknown_begin_ = 0, unknown_end_ = 0;
  Place near_[kNear];
  std::vector<Place> far_;
  Place* places_ = near_;
  std::size_t capacity_ = kNear;
};

void Unigram::append(std::string_view word, IdBuffer& ids, std::size_t enough) const {
  if (!word.empty()) Search(*this, word, ids).run(enough);
}

}  // namespace vecsmith
