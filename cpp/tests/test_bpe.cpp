// Byte-pair encoding: hand values, then random vocabularies against a walk over all pairs.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "character_numbers.hpp"
#include "check.hpp"
#include "merges.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/bpe.hpp"
#include "vecsmith/unicode.hpp"
#include "word_table.hpp"

namespace {

using namespace vecsmith;
using testing::IdList;
using testing::Random;

const std::string kSpace = "\xC4\xA0";  // as byte-level tokens spell it

using TextMerges = std::vector<std::pair<std::string, std::string>>;

std::uint32_t index_of(const std::vector<std::string>& tokens, const std::string& token) {
  return static_cast<std::uint32_t>(std::ranges::find(tokens, token) - tokens.begin());
}

// Ids are ten more than indices, so that the two are not mistaken for each other.
BpeSettings settings_of(const std::vector<std::string>& tokens, const TextMerges& merges) {
  BpeSettings settings;
  settings.tokens = tokens;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    settings.ids.push_back(static_cast<std::uint32_t>(i + 10));
  }
  for (const auto& [left, right] : merges) {
    settings.merges.push_back(
        {index_of(tokens, left), index_of(tokens, right), index_of(tokens, left + right)});
  }
  return settings;
}

IdList ids_of(const Bpe& model, std::string_view word) {
  IdBuffer ids;
  ids.push_back(7);  // what is there stays
  model.append(word, ids);
  const auto slice = ids.slice(0, ids.size());
  CHECK_EQ(slice[0], 7U);
  return {slice.begin() + 1, slice.end()};
}

TEST_CASE(the_most_important_pair_merges_first_wherever_it_is) {
  const BpeSettings settings =
      settings_of({"a", "b", "c", "ab", "bc", "abc"}, {{"b", "c"}, {"a", "b"}, {"ab", "c"}});
  const Bpe model(settings);
  CHECK_EQ(ids_of(model, "abc"), (IdList{10, 14}));
  CHECK_EQ(ids_of(model, "ababc"), (IdList{13, 10, 14}));
  CHECK_EQ(ids_of(model, ""), IdList{});
}

TEST_CASE(of_equal_pairs_the_leftmost_merges_first) {
  const Bpe model(settings_of({"a", "aa"}, {{"a", "a"}}));
  CHECK_EQ(ids_of(model, "aaa"), (IdList{11, 10}));
  CHECK_EQ(ids_of(model, "aaaa"), (IdList{11, 11}));
}

TEST_CASE(of_two_entries_for_a_pair_the_last_counts) {
  const BpeSettings settings =
      settings_of({"a", "b", "c", "ab", "bc"}, {{"a", "b"}, {"b", "c"}, {"a", "b"}});
  CHECK_EQ(ids_of(Bpe(settings), "abc"), (IdList{10, 14}));
}

TEST_CASE(a_pair_may_be_repeated_as_often_as_a_file_likes) {
  const std::vector<std::string> tokens = {"a", "b", "c", "ab", "bc", "abc"};
  TextMerges merges(1000, {"a", "b"});
  merges.emplace_back("b", "c");
  merges.emplace_back("a", "b");
  CHECK_EQ(ids_of(Bpe(settings_of(tokens, merges)), "abcab"), IdList({10, 14, 13}));
}

TEST_CASE(unknown_characters_are_left_out_or_one_token_each_or_one_together) {
  BpeSettings settings = settings_of({"<unk>", "a"}, {});
  CHECK_EQ(ids_of(Bpe(settings), "xay\xC3\xA9"), (IdList{11}));
  settings.unk_id = 10;
  CHECK_EQ(ids_of(Bpe(settings), "xay\xC3\xA9"), (IdList{10, 11, 10, 10}));
  settings.fuse_unk = true;
  CHECK_EQ(ids_of(Bpe(settings), "xay\xC3\xA9"), (IdList{10, 11, 10}));
}

TEST_CASE(an_unknown_token_outside_the_vocabulary_has_its_id_too) {
  BpeSettings settings = settings_of({"a"}, {});
  settings.unk_id = 500;
  const Bpe model(settings);
  CHECK_EQ(ids_of(model, "ax"), (IdList{10, 500}));
  CHECK_EQ(model.max_id(), 500U);
}

TEST_CASE(characters_without_a_token_become_their_bytes) {
  BpeSettings settings = settings_of({"a", "<0xC3>", "<0xA9>", "<unk>"}, {});
  settings.byte_fallback = true;
  settings.unk_id = 13;
  CHECK_EQ(ids_of(Bpe(settings), "a\xC3\xA9"), (IdList{10, 11, 12}));
  CHECK_EQ(ids_of(Bpe(settings), "a\xC3\xA8"), (IdList{10, 13}));  // one byte is missing: all are
}

// As Hugging Face has it: the unknown token waits for the next character that is a token.
TEST_CASE(an_unknown_character_is_put_behind_the_bytes_that_follow_it) {
  BpeSettings settings = settings_of({"<0x78>", "<unk>", "a"}, {});
  settings.byte_fallback = true;
  settings.unk_id = 11;
  CHECK_EQ(ids_of(Bpe(settings), "zxa"), (IdList{10, 11, 12}));
}

TEST_CASE(bytes_are_spelled_in_the_alphabet_of_gpt_2) {
  // U+0120 is the space, U+010A the line feed, U+0100 NUL; U+00E9 is byte E9.
  BpeSettings settings =
      settings_of({kSpace, "\xC4\x8A", "\xC4\x80", "\xC3\xA9", "a", kSpace + "a"}, {{kSpace, "a"}});
  settings.byte_level = true;
  const Bpe model(settings);
  using namespace std::string_view_literals;
  CHECK_EQ(ids_of(model, " a\n\0\xE9"sv), (IdList{15, 11, 12, 13}));
}

TEST_CASE(a_whole_token_goes_before_its_merges_only_where_asked_for) {
  BpeSettings settings = settings_of({"a", kSpace, kSpace + "aa"}, {});
  settings.byte_level = true;
  CHECK_EQ(ids_of(Bpe(settings), " aa"), (IdList{11, 10, 10}));
  settings.ignore_merges = true;
  CHECK_EQ(ids_of(Bpe(settings), " aa"), (IdList{12}));
  CHECK_EQ(ids_of(Bpe(settings), " aaa"), (IdList{11, 10, 10, 10}));
}

TEST_CASE(vocabularies_that_cannot_be_are_refused) {
  BpeSettings settings = settings_of({"a", "b", "ab"}, {{"a", "b"}});
  settings.ids.pop_back();
  CHECK_THROWS(Bpe(settings), std::invalid_argument);
  settings = settings_of({"a", "b", "ab"}, {{"a", "b"}});
  settings.merges[0].merged = 3;
  CHECK_THROWS(Bpe(settings), std::invalid_argument);
  settings.merges[0].merged = 1;
  CHECK_THROWS(Bpe(settings), std::invalid_argument);
  settings = settings_of({"a", "b", "ab"}, {{"a", "b"}});
  settings.ids[2] = settings.ids[0];
  CHECK_THROWS(Bpe(settings), std::invalid_argument);
  CHECK_THROWS(Bpe(settings_of({"", "a"}, {{"", "a"}})), std::invalid_argument);
}

// ---- random vocabularies ------------------------------------------------------------------------

// The specification: looks at every pair before every merge. No unknown characters, no bytes.
IdList plain_ids(const BpeSettings& settings, std::vector<std::string> parts) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t i = 0; i < settings.merges.size(); ++i) {
    const auto& merge = settings.merges[i];
    ranks[{settings.tokens[merge.left], settings.tokens[merge.right]}] = i;
  }
  while (true) {
    std::optional<std::pair<std::size_t, std::size_t>> best;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found != ranks.end() && (!best || found->second < best->first)) best = {found->second, i};
    }
    if (!best) break;
    parts[best->second] += parts[best->second + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best->second) + 1);
  }
  IdList ids;
  for (const std::string& part : parts) ids.push_back(index_of(settings.tokens, part) + 10);
  return ids;
}

BpeSettings random_settings(Random& random, const std::vector<std::string>& letters) {
  std::vector<std::string> tokens = letters;
  TextMerges merges;
  const std::size_t n = random.below(40);
  for (std::size_t i = 0; i < n; ++i) {
    const std::string left = random.pick(tokens);
    const std::string right = random.pick(tokens);
    if (left.size() + right.size() > 12) continue;
    if (std::ranges::find(tokens, left + right) == tokens.end()) tokens.push_back(left + right);
    merges.emplace_back(left, right);
  }
  return settings_of(tokens, merges);
}

TEST_CASE(random_words_become_what_a_walk_over_all_pairs_gives) {
  Random random(3);
  const std::vector<std::string> all{"a", "b", "c", "\xC3\xA9", "\xF0\x9F\x98\x80"};
  for (std::size_t round = 0; round < testing::rounds(400); ++round) {
    const std::vector<std::string> letters(all.begin(),
                                           all.begin() + 1 + static_cast<long>(random.below(5)));
    const BpeSettings settings = random_settings(random, letters);
    const Bpe model(settings);
    for (std::size_t length : {1UL, 2UL, 5UL, 20UL, 63UL, 64UL, 65UL, 150UL}) {
      std::vector<std::string> parts;
      std::string word;
      for (std::size_t i = 0; i < length; ++i) word += parts.emplace_back(random.pick(letters));
      CHECK_EQ(ids_of(model, word), plain_ids(settings, parts));
    }
  }
}

// Every byte as a token, and random merges of letters `few`.
BpeSettings random_bytes(Random& random, const std::vector<std::string>& few) {
  std::vector<std::string> tokens;
  for (const char32_t c : byte_alphabet()) append_utf8(tokens.emplace_back(), c);
  BpeSettings settings = settings_of(tokens, {});
  const BpeSettings some = random_settings(random, few);
  const auto number = [&](std::uint32_t token) {
    const auto known = std::ranges::find(settings.tokens, some.tokens[token]);
    const auto index = static_cast<std::uint32_t>(known - settings.tokens.begin());
    if (known == settings.tokens.end()) {
      settings.tokens.push_back(some.tokens[token]);
      settings.ids.push_back(index + 10);
    }
    return index;
  };
  for (const BpeSettings::Merge& merge : some.merges) {
    const std::uint32_t left = number(merge.left);
    settings.merges.push_back({left, number(merge.right), number(merge.merged)});
  }
  settings.byte_level = true;
  return settings;
}

TEST_CASE(ids_that_number_the_tokens_are_those_of_others_less_what_others_add) {
  Random random(10);
  const std::vector<std::string> few{"a", "b", "c"};
  for (std::size_t round = 0; round < testing::rounds(30); ++round) {
    BpeSettings settings = random_bytes(random, few);
    const Bpe others(settings);
    for (std::uint32_t& id : settings.ids) id -= 10;
    const Bpe numbers(settings);
    std::string word;
    for (std::size_t n = random.below(200); n > 0; --n) word += random.pick(few);
    IdList ids = ids_of(numbers, word);
    for (std::uint32_t& id : ids) id += 10;
    CHECK_EQ(ids, ids_of(others, word));
  }
}

TEST_CASE(words_merged_together_become_what_each_becomes_alone) {
  Random random(7);
  const std::vector<std::string> few{"a", "b", "c"};
  for (std::size_t round = 0; round < testing::rounds(60); ++round) {
    BpeSettings settings = random_bytes(random, few);
    settings.ignore_merges = random.one_in(3);
    const Bpe model(settings);
    std::vector<std::string> words(random.below(60));
    IdBuffer alone;
    std::vector<std::size_t> alone_ends;
    for (std::string& word : words) {
      const std::size_t longest = random.one_in(10) ? 100 : 36;
      for (std::size_t n = random.below(longest); n > 0; --n) word += random.pick(few);
      model.append(word, alone);
      alone_ends.push_back(alone.size());
    }
    IdBuffer together;
    std::vector<std::size_t> ends;
    model.append_all(std::vector<std::string_view>(words.begin(), words.end()), together, ends);
    CHECK(ends == alone_ends);
    CHECK(std::ranges::equal(together.slice(0, together.size()), alone.slice(0, alone.size())));
  }
}

TEST_CASE(long_words_of_bytes_become_what_a_walk_over_all_pairs_gives) {
  Random random(9);
  const std::vector<std::string> all{"a", "b", "c", "d"};
  for (std::size_t round = 0; round < testing::rounds(80); ++round) {
    const std::vector<std::string> few(all.begin(),
                                       all.begin() + 1 + static_cast<long>(random.below(4)));
    const BpeSettings settings = random_bytes(random, few);
    const Bpe model(settings);
    for (const std::size_t length : {31U, 32U, 63U, 64U, 95U, 112U, 160U, 900U}) {
      const std::size_t n_own = random.one_in(2) ? length : 1 + random.below(30);  // or periodic
      std::vector<std::string> parts;
      std::string word;
      for (std::size_t i = 0; i < length + random.below(3); ++i) {
        parts.push_back(i < n_own ? random.pick(few) : parts[i - n_own]);
        word += parts.back();
      }
      const IdList whole = plain_ids(settings, parts);
      CHECK_EQ(ids_of(model, word), whole);
      // Where enough is asked for, what is there is the beginning.
      IdBuffer some;
      model.append(word, some, 5);
      CHECK(some.size() >= std::min<std::size_t>(5, whole.size()) && some.size() <= whole.size());
      CHECK(std::ranges::equal(some.slice(0, some.size()), std::span(whole).first(some.size())));
    }
  }
}

TEST_CASE(every_pair_has_its_rank_and_no_other_pair_has_one) {
  Random random(8);
  for (const std::size_t n : {0U, 1U, 2U, 3U, 100U, 5000U, 60000U}) {
    const std::size_t n_symbols = 1 + n / 20;
    std::vector<BpeSettings::Merge> merges(n);
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::int32_t> ranks;
    for (std::size_t i = 0; i < n; ++i) {
      const auto left = static_cast<std::uint32_t>(random.below(n_symbols));
      const auto right = static_cast<std::uint32_t>(random.below(n_symbols));
      merges[i] = {left, right, 0};
      ranks[{left, right}] = static_cast<std::int32_t>(i);
    }
    const Merges table(merges);
    for (const auto& [pair, rank] : ranks) CHECK_EQ(table.rank(pair.first, pair.second), rank);
    for (std::size_t i = 0; i < 1000; ++i) {
      const auto left = static_cast<std::uint32_t>(random.below(n_symbols + 3));
      const auto right = static_cast<std::uint32_t>(random.below(n_symbols + 3));
      const auto known = ranks.find({left, right});
      CHECK_EQ(table.rank(left, right), known == ranks.end() ? Merges::kNever : known->second);
    }
  }
}

TEST_CASE(long_words_become_what_one_row_of_symbols_gives) {
  Random random(4);
  const std::vector<std::string> letters{"a", "b", "c"};
  for (std::size_t round = 0; round < testing::rounds(60); ++round) {
    BpeSettings settings = random_settings(random, letters);
    const Bpe model(settings);
    // A token is missing of the bytes, so words cannot be cut; none of them needs one.
    settings.byte_fallback = true;
    settings.unk_id = 10;
    const Bpe uncut(settings);
    std::string word;
    const std::string period = random.pick(letters) + random.pick(letters) + random.pick(letters);
    const bool is_periodic = random.one_in(2);
    while (word.size() < 9000) word += is_periodic ? period : random.pick(letters);
    CHECK(ids_of(model, word) == ids_of(uncut, word));
    // Where enough is asked for, what is there is the beginning.
    IdBuffer some;
    model.append(word, some, 5);
    const IdList whole = ids_of(model, word);
    CHECK(some.size() >= 5 && some.size() <= whole.size());
    CHECK(std::ranges::equal(some.slice(0, some.size()), std::span(whole).first(some.size())));
  }
}

TEST_CASE(ill_formed_text_is_read_as_replacement_characters) {
  BpeSettings settings = settings_of({"a", "\xEF\xBF\xBD"}, {});
  CHECK_EQ(ids_of(Bpe(settings), "a\xFF\xC3"), (IdList{10, 11, 11}));
  settings = settings_of({"a", "<0xEF>", "<0xBF>", "<0xBD>"}, {});
  settings.byte_fallback = true;
  const Bpe model(settings);
  CHECK_EQ(ids_of(model, "a\xFF"), (IdList{10, 11, 12, 13}));
  for (const std::size_t n : {30U, 64U, 65U, 5000U}) {
    CHECK_EQ(ids_of(model, std::string(n, '\xFF')).size(), 3 * n);
  }
}

TEST_CASE(words_of_a_table_are_found_whole_and_no_others) {
  Random random(5);
  std::vector<WordTable::Entry> entries;
  std::map<std::string, std::uint32_t> expected;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    std::string word = random.letters(random.below(40));
    if (random.one_in(3)) word += '\0';
    expected.emplace(word, i);
    entries.push_back({std::move(word), i});
  }
  const WordTable table(entries);
  for (const auto& [word, value] : expected) {
    CHECK_EQ(table.find(word), value);
    if (!expected.contains(word + "\x01")) CHECK_EQ(table.find(word + "\x01"), WordTable::kNone);
    if (!expected.contains(word + '\0')) CHECK_EQ(table.find(word + '\0'), WordTable::kNone);
  }
  CHECK_EQ(WordTable().find("a"), WordTable::kNone);
}

}  // namespace
