// The most probable segmentation: values that tokenizers 0.23.3 gives, then random vocabularies
// against the lattice as its definition reads.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/unigram.hpp"

namespace {

using namespace vecsmith;
using testing::IdList;

using Vocabulary = std::vector<std::pair<std::string, double>>;

UnigramSettings settings_of(const Vocabulary& vocabulary, std::optional<std::uint32_t> unk_id = 0,
                            bool byte_fallback = false) {
  UnigramSettings settings;
  for (const auto& [token, score] : vocabulary) {
    settings.tokens.push_back(token);
    settings.scores.push_back(score);
  }
  settings.unk_id = unk_id;
  settings.byte_fallback = byte_fallback;
  return settings;
}

Vocabulary with_byte_tokens(Vocabulary vocabulary, unsigned n = 256) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < n; ++byte) {
    vocabulary.emplace_back(std::string("<0x") + kHex[byte >> 4U] + kHex[byte & 15U] + ">", -5.0);
  }
  return vocabulary;
}

IdList ids_of(const Unigram& model, std::string_view word, std::size_t enough = Unigram::kAll) {
  IdBuffer ids;
  ids.push_back(99);  // what is there stays
  model.append(word, ids, enough);
  const auto slice = ids.slice(0, ids.size());
  CHECK_EQ(slice[0], 99U);
  return {slice.begin() + 1, slice.end()};
}

// Every token is tried at every place; a table of the best way to each place is all there is.
IdList plain_ids(const UnigramSettings& settings, std::string_view word) {
  struct Place {
    double score = 0.0;
    std::size_t begin = 0, id = 0;
    bool is_reached = false;
  };
  std::vector<Place> places(word.size() + 1);
  double least = std::numeric_limits<double>::infinity();
  for (const double score : settings.scores) least = score < least ? score : least;
  const auto index_of = [&](std::string_view piece) {
    std::size_t found = settings.tokens.size();
    for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
      if (settings.tokens[i] == piece) found = i;
    }
    return found;
  };
  const std::size_t unk_id = settings.unk_id.value_or(0);
  for (std::size_t at = 0; at < word.size();) {
    const char* p = word.data() + at;
    static_cast<void>(decode_utf8(p, word.data() + word.size()));
    const auto width = static_cast<std::size_t>(p - word.data()) - at;
    bool is_known = false;
    const auto reach = [&](std::size_t end, double score, std::size_t id) {
      const double sum = score + places[at].score;
      if (!places[end].is_reached || sum > places[end].score) places[end] = {sum, at, id, true};
    };
    for (std::size_t end = at + 1; end <= word.size(); ++end) {
      const std::size_t id = index_of(word.substr(at, end - at));
      if (id == settings.tokens.size()) continue;
      reach(end, settings.scores[id], id);
      is_known |= end == at + width;
    }
    if (!is_known) reach(at + width, least - 10.0, unk_id);
    at += width;
  }
  std::vector<std::pair<std::string_view, bool>>
      pieces;  // last first; unknown ones in a row as one
  for (std::size_t end = word.size(); end > 0; end = places[end].begin) {
    const std::string_view piece = word.substr(places[end].begin, end - places[end].begin);
    const bool is_unknown = places[end].id == unk_id;
    if (is_unknown && !pieces.empty() && pieces.back().second) {
      pieces.back().first = {piece.data(), piece.size() + pieces.back().first.size()};
    } else {
      pieces.emplace_back(piece, is_unknown);
    }
  }
  IdList ids;
  std::reverse(pieces.begin(), pieces.end());
  for (const auto& [piece, is_unknown] : pieces) {
    const std::size_t id = index_of(piece);
    IdList bytes;
    for (const char c : piece) {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      const std::size_t of =
          index_of(std::string("<0x") + kHex[byte >> 4U] + kHex[byte & 15U] + ">");
      if (of < settings.tokens.size()) bytes.push_back(static_cast<std::uint32_t>(of));
    }
    if (id < settings.tokens.size()) {
      ids.push_back(static_cast<std::uint32_t>(id));
    } else if (settings.byte_fallback && bytes.size() == piece.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    } else {
      ids.push_back(static_cast<std::uint32_t>(unk_id));
    }
  }
  return ids;
}

TEST_CASE(the_segmentation_of_the_greatest_sum_is_taken) {
  const Unigram model(settings_of({{"<unk>", 0.0},
                                   {"a", 0.0},
                                   {"b", 0.0},
                                   {"c", 0.0},
                                   {"d", 0.0},
                                   {"cd", 1.0},
                                   {"ab", 2.0},
                                   {"abc", 5.0},
                                   {"abcd", 10.0}}));
  CHECK_EQ(ids_of(model, "abcdacdxx"), (IdList{8, 1, 5, 0}));
  CHECK_EQ(ids_of(model, ""), IdList{});
}

TEST_CASE(of_equal_sums_the_one_whose_last_token_begins_first_stays) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", -1.0}, {"aa", -2.0}, {"aaa", -3.0}}));
  CHECK_EQ(ids_of(model, "aaa"), (IdList{3}));
  CHECK_EQ(ids_of(model, "aaaa"), (IdList{1, 3}));
}

TEST_CASE(sums_are_rounded_from_left_to_right) {
  // 0.1 + 0.2 > 0.3 in float64, so "a" + "b" beats "ab"; behind 1e6 both sums are the same number.
  const Unigram model(
      settings_of({{"<unk>", 0.0}, {"a", 0.1}, {"b", 0.2}, {"ab", 0.3}, {"c", 1e6}}));
  CHECK_EQ(ids_of(model, "ab"), (IdList{1, 2}));
  CHECK_EQ(ids_of(model, "cab"),
           plain_ids(settings_of({{"<unk>", 0.0}, {"a", 0.1}, {"b", 0.2}, {"ab", 0.3}, {"c", 1e6}}),
                     "cab"));
  CHECK(ids_of(model, "cab") != (IdList{4, 1, 2}));
}

TEST_CASE(characters_without_a_token_in_a_row_are_one_unknown_token) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", -1.0}}));
  CHECK_EQ(ids_of(model, "x"), (IdList{0}));
  CHECK_EQ(ids_of(model, "xyaz\xC3\xA9"), (IdList{0, 1, 0}));
  CHECK_EQ(ids_of(model, "x<unk>y"), (IdList{0}));  // its own spelling is one of them
}

TEST_CASE(unknown_characters_that_together_spell_a_token_are_that_token) {
  const Unigram model(settings_of({{"<unk>", 100.0}, {"a", 100.0}, {"xy", 100.0}}));
  CHECK_EQ(ids_of(model, "aaxy"), (IdList{1, 1, 2}));  // two unknown ones of 90 beat 100
  CHECK_EQ(ids_of(model, "xyx"), (IdList{0}));
}

TEST_CASE(with_byte_fallback_unknown_rows_are_their_bytes_if_all_have_tokens) {
  const Vocabulary vocabulary = {{"<unk>", 0.0}, {"a", 1.0}};
  const Unigram model(settings_of(with_byte_tokens(vocabulary), 0, true));
  CHECK_EQ(ids_of(model,
                  "a\xC3\xA9"
                  "a"),
           (IdList{1, 197, 171, 1}));
  CHECK_EQ(ids_of(model, "<0x41>"), (IdList{67}));
  CHECK_EQ(ids_of(model, "x<unk>y"), (IdList{122, 62, 119, 112, 109, 64, 123}));
  const Unigram some(settings_of(with_byte_tokens(vocabulary, 100), 0, true));
  CHECK_EQ(ids_of(some,
                  "!\xC3\xA9"
                  "a"),
           (IdList{0, 1}));
  CHECK_EQ(ids_of(some, "!!"), (IdList{35, 35}));
}

TEST_CASE(of_two_tokens_of_one_spelling_the_later_counts) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", 1.0}, {"a", 5.0}, {"aa", 6.0}}));
  CHECK_EQ(ids_of(model, "aa"), (IdList{2, 2}));
}

TEST_CASE(a_token_without_characters_is_never_found) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"", 3.0}, {"a", -1.0}}));
  CHECK_EQ(ids_of(model, "aa"), (IdList{2, 2}));
}

TEST_CASE(without_an_unknown_token_a_character_without_a_token_is_refused) {
  const Unigram model(settings_of({{"a", 0.0}, {"xy", 0.0}}, std::nullopt));
  CHECK_EQ(ids_of(model, "aa"), (IdList{0, 0}));
  CHECK_THROWS(ids_of(model, "ax"), std::invalid_argument);
  CHECK_THROWS(ids_of(model, "xy"), std::invalid_argument);  // as tokenizers does
}

TEST_CASE(a_word_that_is_a_book_is_cut_as_its_specification_says) {
  testing::Random random(9);
  const UnigramSettings settings = settings_of({{"<unk>", 0.0},
                                                {"a", -1.7},
                                                {"b", -1.9},
                                                {"aa", -3.1},
                                                {"ab", -2.2},
                                                {"aaaaaaaa", -9.3},
                                                {std::string(700, 'a'), -40.0}});
  std::string word;
  for (std::size_t i = 0; i < 3000; ++i) word += random.one_in(40) ? "b" : "a";
  word += std::string(5000, 'a');
  CHECK_EQ(ids_of(Unigram(settings), word), plain_ids(settings, word));
}

TEST_CASE(no_more_tokens_are_looked_for_than_are_enough) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", -1.0}, {"ab", -1.0}}));
  const IdList ids = ids_of(model, std::string(100000, 'a'), 10);
  CHECK(ids.size() >= 9 && ids.size() < 100);  // one was there before
}

TEST_CASE(ill_formed_bytes_are_read_to_their_end_and_not_beyond) {
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", -1.0}, {"\xE3\x81\x82", -2.0}}));
  testing::Random random(5);
  for (std::size_t round = 0; round < testing::rounds(2000); ++round) {
    std::string word;
    for (std::size_t k = random.below(12); k > 0; --k) {
      word += random.one_in(3) ? 'a' : static_cast<char>(0x80 + random.below(128));
    }
    const std::vector<char> exact(word.begin(), word.end());  // a sanitizer sees a read behind it
    CHECK(ids_of(model, {exact.data(), exact.size()}).size() <= word.size());
  }
}

TEST_CASE(parts_that_do_not_fit_each_other_are_refused) {
  UnigramSettings settings = settings_of({{"<unk>", 0.0}, {"a", 0.0}});
  settings.unk_id = 2;
  CHECK_THROWS(Unigram(settings), std::invalid_argument);
  settings.unk_id = 0;
  settings.scores.pop_back();
  CHECK_THROWS(Unigram(settings), std::invalid_argument);
}

TEST_CASE(scores_whose_sums_could_be_infinite_are_refused) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double score : {infinity, -infinity, infinity - infinity, -1e101, 1e101}) {
    CHECK_THROWS(Unigram(settings_of({{"<unk>", 0.0}, {"a", score}})), std::invalid_argument);
  }
  const Unigram model(settings_of({{"<unk>", 0.0}, {"a", -4e99}, {"aa", -1e100}}));
  CHECK_EQ(ids_of(model, "aa"), (IdList{1, 1}));
}

// To move the stretch on character by character would take minutes.
TEST_CASE(long_words_take_no_longer_where_a_token_is_long) {
  for (const std::size_t length : {62U, 4093U, 65'533U}) {
    const Unigram model(
        settings_of({{"<unk>", 0.0}, {"a", -1.0}, {"b", -2.0}, {std::string(length, 'c'), -3.0}}));
    std::string word;
    IdList expected;
    for (std::size_t i = 0; i < 200'000; ++i) {
      word += i % 3 == 0 ? 'b' : 'a';
      expected.push_back(i % 3 == 0 ? 2 : 1);
    }
    CHECK(ids_of(model, word + std::string(length, 'c')).back() == 3);
    CHECK(ids_of(model, word) == expected);
  }
}

TEST_CASE(max_id_is_the_last_place_of_a_unigram_vocabulary) {
  CHECK_EQ(Unigram(settings_of({{"<unk>", 0.0}, {"a", 0.0}})).max_id(), 1U);
}

TEST_CASE(random_lattices_give_the_ids_of_the_specification) {
  testing::Random random(11);
  const std::vector<std::string> characters = {
      "a", "b", "\xC3\xA4", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80", "A", "<unk>", "<0x41>"};
  for (std::size_t round = 0; round < testing::rounds(600); ++round) {
    const std::size_t n_characters = 2 + random.below(3);
    Vocabulary vocabulary = {{"<unk>", 0.0}};
    for (std::size_t n = random.below(30); n > 0; --n) {
      std::string token;
      for (std::size_t k = 1 + random.below(5); k > 0; --k) {
        token += characters[random.below(n_characters)];
      }
      // Few different scores: many sums are equal, or equal but for their rounding.
      vocabulary.emplace_back(
          token, -0.1 * static_cast<double>(1 + random.below(4)) + (random.one_in(9) ? 90.0 : 0.0));
    }
    const bool byte_fallback = random.one_in(2);
    if (byte_fallback) vocabulary = with_byte_tokens(vocabulary, random.one_in(2) ? 256 : 200);
    const UnigramSettings settings = settings_of(vocabulary, 0, byte_fallback);
    const Unigram model(settings);
    for (std::size_t i = 0; i < 20; ++i) {
      std::string word;
      for (std::size_t k = 1 + random.below(14); k > 0; --k) word += random.pick(characters);
      CHECK_EQ(ids_of(model, word), plain_ids(settings, word));
    }
  }
}

}  // namespace
