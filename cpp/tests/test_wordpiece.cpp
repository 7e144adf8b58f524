// Greedy longest match: hand values, then every word of a small alphabet against the specification.

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/wordpiece.hpp"

namespace {

using namespace vecsmith;
using testing::IdList;

WordPieceSettings settings_of(std::vector<std::string> tokens, std::size_t max_chars = 100) {
  WordPieceSettings settings{.tokens = std::move(tokens), .ids = {}, .unk_id = 0};
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.ids.push_back(static_cast<std::uint32_t>(i));
  }
  settings.max_input_chars_per_word = max_chars;
  return settings;
}

IdList ids_of(const WordPiece& model, std::string_view word) {
  IdBuffer ids;
  ids.push_back(99);  // what is there stays
  model.append(word, testing::code_points_of(word).size(), ids);
  const auto slice = ids.slice(0, ids.size());
  CHECK_EQ(slice[0], 99U);
  return {slice.begin() + 1, slice.end()};
}

TEST_CASE(the_longest_piece_is_taken_first_and_never_given_back) {
  const WordPiece model(
      settings_of({"[UNK]", "un", "una", "##aff", "##ff", "##able", "##ble", "u"}));
  CHECK_EQ(ids_of(model, "unable"), (IdList{2, 6}));  // not un + ##able
  CHECK_EQ(ids_of(model, "unaffable"), (IdList{2, 4, 5}));
}

TEST_CASE(a_word_with_one_unknown_place_is_one_unknown_token) {
  const WordPiece model(settings_of({"[UNK]", "a", "##b"}));
  CHECK_EQ(ids_of(model, "abbb"), (IdList{1, 2, 2, 2}));
  CHECK_EQ(ids_of(model, "abxb"), (IdList{0}));
  CHECK_EQ(ids_of(model, "ba"), (IdList{0}));
  CHECK_EQ(ids_of(model, ""), IdList{});
}

TEST_CASE(words_of_more_characters_than_allowed_are_unknown_whatever_their_bytes) {
  const WordPiece model(settings_of({"[UNK]", "\xC3\xA9", "##\xC3\xA9"}, 3));
  CHECK_EQ(ids_of(model, "\xC3\xA9\xC3\xA9\xC3\xA9"), (IdList{1, 2, 2}));
  CHECK_EQ(ids_of(model, "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"), (IdList{0}));
}

TEST_CASE(without_a_prefix_every_piece_may_stand_anywhere) {
  WordPieceSettings settings = settings_of({"[UNK]", "ab", "c"});
  settings.continuing_subword_prefix = "";
  const WordPiece model(settings);
  CHECK_EQ(ids_of(model, "abcab"), (IdList{1, 2, 1}));
}

TEST_CASE(the_prefix_alone_is_no_continuation) {
  const WordPiece model(settings_of({"[UNK]", "a", "##", "##b"}));
  CHECK_EQ(ids_of(model, "ab"), (IdList{1, 3}));
  CHECK_EQ(ids_of(model, "ac"), (IdList{0}));
}

TEST_CASE(max_id_is_the_largest_of_the_vocabulary_and_the_unknown_token) {
  WordPieceSettings settings = settings_of({"[UNK]", "a"});
  settings.ids = {4, 40};
  settings.unk_id = 4;
  CHECK_EQ(WordPiece(settings).max_id(), 40U);
  settings.unk_id = 50;
  CHECK_EQ(WordPiece(settings).max_id(), 50U);
}

TEST_CASE(tokens_and_ids_of_different_number_are_refused) {
  WordPieceSettings settings = settings_of({"[UNK]", "a"});
  settings.ids.pop_back();
  CHECK_THROWS(WordPiece(settings), std::invalid_argument);
}

TEST_CASE(random_vocabularies_cut_words_as_the_specification_says) {
  testing::Random random(4);
  for (std::size_t round = 0; round < testing::rounds(100); ++round) {
    std::vector<std::string> tokens = {"[UNK]"};
    for (std::size_t n = random.below(30); n > 0; --n) {
      std::string token = random.one_in(2) ? "##" : "";
      for (std::size_t k = 1 + random.below(4); k > 0; --k)
        token += random.one_in(2) ? "a" : "\xC3\xA4";
      tokens.push_back(token);
    }
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    TokenizerSettings settings;
    settings.normalizer = {normalizers::Bert{false, false, false, false}};
    settings.splitter = {splitters::Bert{}};
    settings.model = settings_of(tokens, 12);
    const WordPiece model(std::get<WordPieceSettings>(settings.model));
    const testing::PlainTokenizer plain(settings);
    for (std::size_t i = 0; i < 100; ++i) {
      std::string word;
      for (std::size_t k = 1 + random.below(14); k > 0; --k)
        word += random.one_in(2) ? "a" : "\xC3\xA4";
      CHECK_EQ(ids_of(model, word), plain.encode(word));
    }
  }
}

}  // namespace
