// A word is its token or the unknown one.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "vecsmith/word_level.hpp"

namespace {

using namespace vecsmith;
using testing::IdList;

IdList ids_of(const WordLevel& model, std::string_view word) {
  IdBuffer ids;
  model.append(word, ids);
  const auto slice = ids.slice(0, ids.size());
  return {slice.begin(), slice.end()};
}

const WordLevelSettings kSettings{
    .tokens = {"[UNK]", "the", "then", "\xC3\xA9"}, .ids = {7, 1, 2, 30}, .unk_id = 7};

TEST_CASE(a_word_is_its_own_token_or_the_unknown_one) {
  const WordLevel model(kSettings);
  CHECK_EQ(ids_of(model, "the"), (IdList{1}));
  CHECK_EQ(ids_of(model, "then"), (IdList{2}));
  CHECK_EQ(ids_of(model, "\xC3\xA9"), (IdList{30}));
  for (const char* const word : {"th", "thenx", "The", "\xC3", "x"}) {
    CHECK_EQ(ids_of(model, word), (IdList{7}));
  }
}

TEST_CASE(a_word_without_characters_has_no_token) {
  CHECK_EQ(ids_of(WordLevel(kSettings), ""), IdList{});
}

TEST_CASE(max_id_of_words_is_the_largest_of_the_vocabulary_and_the_unknown_token) {
  WordLevelSettings settings = kSettings;
  CHECK_EQ(WordLevel(settings).max_id(), 30U);
  settings.unk_id = 31;
  CHECK_EQ(WordLevel(settings).max_id(), 31U);
}

TEST_CASE(words_and_ids_of_different_number_are_refused) {
  WordLevelSettings settings = kSettings;
  settings.ids.pop_back();
  CHECK_THROWS(WordLevel(settings), std::invalid_argument);
}

}  // namespace
