// The engine's tokenizer against its specification, wherever its short cuts begin and end: windows,
// cuts, caches, triggers, truncation, levels.

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "check.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/tokenizer.hpp"

namespace {

using namespace vecsmith;
using testing::encode_all;
using testing::encode_one;
using testing::IdList;
using testing::PlainTokenizer;
using testing::Random;
using testing::rounds;
using testing::some_settings;
using testing::special_tokens;

constexpr std::size_t kWindow = 2048;

std::vector<normalizers::Bert> all_normalizers() {
  std::vector<normalizers::Bert> all;
  for (unsigned bits = 0; bits < 16; ++bits) {
    all.push_back({(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0});
  }
  return all;
}

// An engine and its specification.
struct Pair {
  explicit Pair(const TokenizerSettings& settings, CpuLevel level = best_cpu_level())
      : fast(settings, level), plain(settings) {}

  void check(std::string_view text, Truncation truncation = {}) const {
    std::vector<char> exact(1);  // a sanitizer sees its end
    exact.insert(exact.end(), text.begin(), text.end());
    const IdList found = encode_one(fast, {exact.data() + 1, text.size()}, truncation);
    const IdList expected = plain.encode(text, truncation);
    if (found == expected) return;
    CHECK_EQ(found, expected);
    CHECK_EQ(text.substr(0, 300), "the text above");
  }

  Tokenizer fast;
  PlainTokenizer plain;
};

TEST_CASE(words_marks_and_pieces_get_the_ids_of_the_vocabulary) {
  const TokenizerSettings settings = some_settings({}, special_tokens());
  const Tokenizer tokenizer(settings);
  const auto id = [&](std::string_view token) {
    for (std::size_t i = 0; i < testing::wordpiece_of(settings).tokens.size(); ++i) {
      if (testing::wordpiece_of(settings).tokens[i] == token)
        return testing::wordpiece_of(settings).ids[i];
    }
    return 0xFFFFFFFFU;
  };
  CHECK_EQ(encode_one(tokenizer, "The CAT, playing"),
           (IdList{id("the"), id("cat"), id(","), id("play"), id("##ing")}));
  CHECK_EQ(encode_one(tokenizer, "quq [PAD][unk]"),
           (IdList{1, 0, id("["), id("un"), id("##k"), id("]")}));
  CHECK_EQ(encode_one(tokenizer, ""), IdList{});
  CHECK_EQ(encode_one(tokenizer, " \t\n"), IdList{});
}

TEST_CASE(random_texts_get_the_ids_of_the_specification_under_every_normalizer_and_level) {
  for (const CpuLevel level : testing::cpu_levels()) {
    for (const normalizers::Bert& normalizer : all_normalizers()) {
      const Pair pair(some_settings(normalizer, special_tokens()), level);
      Random random(20);
      for (std::size_t i = 0; i < rounds(250); ++i) {
        pair.check(random.text(1 + random.below(i % 10 == 0 ? 300 : 25)));
      }
    }
  }
}

TEST_CASE(texts_of_one_call_get_the_ids_of_one_call_each) {
  const Pair pair(some_settings({}, special_tokens()));
  Random random(21);
  for (std::size_t round = 0; round < rounds(120); ++round) {
    std::vector<std::string> owned;
    for (std::size_t n = random.below(60); n > 0; --n) {
      owned.push_back(random.one_in(2) ? random.sentence(random.below(30))
                                       : random.text(random.below(random.one_in(9) ? 400 : 12)));
    }
    const std::vector<std::string_view> texts(owned.begin(), owned.end());
    const Truncation truncation{random.one_in(2) ? Truncation::kAll : 1 + random.below(40),
                                random.one_in(2)};
    const std::vector<IdList> lists = encode_all(pair.fast, texts, truncation);
    CHECK_EQ(lists.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i)
      CHECK(lists[i] == pair.plain.encode(texts[i], truncation));
  }
}

TEST_CASE(ids_are_appended_behind_what_is_there) {
  const Tokenizer tokenizer(some_settings({}, special_tokens()));
  IdBuffer ids;
  ids.push_back(77);
  std::vector<std::size_t> ends = {1};
  const std::array<std::string_view, 2> texts = {"the", "a\0cat"};
  tokenizer.encode(texts, {}, ids, ends);
  CHECK_EQ(ids.data()[0], 77U);
  CHECK_EQ(ends.size(), 3U);
  CHECK_EQ(ends[1], 2U);
}

TEST_CASE(every_place_in_which_a_window_can_end_gives_the_same_ids) {
  const Pair pair(some_settings({}, special_tokens()));
  // What stands at the edge, moved over it byte by byte.
  for (const std::string_view edge :
       {"playing cat", "[PAD]", "[ PAD]", "[MASK][CLS]", "\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4",
        "cat\xCC\x81 dog", "a\x01z", "\xE7\x8C\xAB\xE7\x8A\xAC", "\xE2\x80\x8B.\xE2\x80\x8B",
        "...."}) {
    for (std::size_t shift = 0; shift < 80; ++shift) {
      std::string text;
      while (text.size() < kWindow - 70) text += "the cat ";
      text.resize(kWindow - 70 + shift, ' ');
      text += edge;
      text += " dog";
      pair.check(text);
      const std::array<std::string_view, 3> texts = {"hello", text, text};
      const std::vector<IdList> lists = encode_all(pair.fast, texts);
      CHECK(lists[1] == pair.plain.encode(text));
      CHECK(lists[2] == lists[1]);
    }
  }
}

TEST_CASE(segments_around_the_sizes_of_window_and_cut_give_the_same_ids) {
  for (const normalizers::Bert& normalizer :
       {normalizers::Bert{}, normalizers::Bert{false, true, true, true},
        normalizers::Bert{true, false, false, false}}) {
    const Pair pair(some_settings(normalizer, special_tokens()));
    for (const std::string_view unit :
         {"a", "\xC3\xA9", "\xE7\x8C\xAB", "\xED\x95\x9C", "\xCC\x81", "\xE3\x80\x80", "\xC2\x85",
          "\x80", "\xE4\xB8", "\xF0\x9F\x98\x80", "\xE4\xB8\x80\xE3\x81\x82\xE0\xA3\x94"}) {
      for (const std::size_t size : std::vector<std::size_t>{1000, 1022, 1024, 1026, 2040, 2046,
                                                             2047, 2048, 2049, 2052, 5000}) {
        std::string text;
        while (text.size() < size) text += unit;
        pair.check(text);
        pair.check("the " + text + " cat");
        pair.check(text + "[PAD]" + text);
        pair.check(text + std::string(1, '\0') + text);
      }
    }
  }
}

TEST_CASE(long_random_segments_without_delimiters_give_the_same_ids) {
  const Pair pair(some_settings({}, special_tokens()));
  Random random(22);
  for (std::size_t i = 0; i < rounds(150); ++i) {
    std::string text;
    while (text.size() < 1000 + random.below(4000)) {
      for (const char c : random.text(3)) {
        if (static_cast<unsigned char>(c) >= 0x80) text.push_back(c);
      }
    }
    pair.check(text);
    pair.check(text, {1 + random.below(200), random.one_in(2)});
  }
}

TEST_CASE(words_of_every_length_up_to_the_limit_give_the_same_ids) {
  const Pair pair(some_settings({}, special_tokens()));
  Random random(23);
  for (std::size_t n = 1; n <= 205; ++n) {
    for (const bool is_ascii : {true, false}) {
      std::string word;
      for (std::size_t i = 0; i < n; ++i) {
        if (is_ascii)
          word.push_back(static_cast<char>('a' + random.below(15)));
        else
          append_utf8(word, char32_t(0x430 + random.below(30)));
      }
      // twice: the second time the caches know it
      for (const std::string& text : {word, word, word + "\xCC\x81", "The " + word + "," + word})
        pair.check(text);
    }
  }
}

TEST_CASE(truncation_cuts_at_every_length_from_both_ends) {
  const Pair pair(some_settings({}, special_tokens()));
  Random random(24);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 25; ++i) texts.push_back(random.text(25));
  std::string chinese;
  for (std::size_t i = 0; i < 900; ++i) append_utf8(chinese, char32_t(0x4E00 + i % 70));
  texts.push_back(chinese);
  std::string many;
  while (many.size() < 3 * kWindow) many += random.sentence(20) + " ";
  texts.push_back(many);
  texts.push_back(many + "[PAD]");
  texts.push_back(many + "\x01z");
  for (const std::string& text : texts) {
    const std::size_t n = pair.plain.encode(text).size();
    const std::size_t step = n > 100 ? 1 + n / 40 : 1;
    for (std::size_t max_length = 0; max_length <= n + 2; max_length += step) {
      pair.check(text, {max_length, false});
      pair.check(text, {max_length, true});
    }
    // A length that no text reaches keeps all, behind other texts too.
    const std::array<std::string_view, 2> two = {"the cat", text};
    for (const bool keep_end : {false, true}) {
      const Truncation truncation{std::numeric_limits<std::size_t>::max() / 2, keep_end};
      CHECK(encode_all(pair.fast, two, truncation)[1] == pair.plain.encode(text));
    }
  }
}

TEST_CASE(a_document_cut_at_a_space_has_the_ids_of_its_parts) {
  const Tokenizer tokenizer(some_settings({}, special_tokens()));
  Random random(25);
  std::string document;
  while (document.size() < 5000) document += random.sentence(9) + ' ';
  const IdList whole = encode_one(tokenizer, document);
  for (std::size_t cut = 0; cut < document.size(); ++cut) {
    if (document[cut] != ' ' || !random.one_in(3)) continue;
    const std::string_view view = document;
    const std::array<std::string_view, 2> parts = {view.substr(0, cut), view.substr(cut)};
    std::vector<IdList> lists = encode_all(tokenizer, parts);
    lists[0].insert(lists[0].end(), lists[1].begin(), lists[1].end());
    CHECK(lists[0] == whole);
  }
}

TEST_CASE(odd_bytes_anywhere_give_the_same_ids) {
  for (const normalizers::Bert& normalizer :
       {normalizers::Bert{}, normalizers::Bert{false, true, false, false}}) {
    const Pair pair(some_settings(normalizer, special_tokens()));
    for (unsigned byte = 0; byte < 256; ++byte) {
      const std::string odd(1, static_cast<char>(byte));
      for (const std::string& text :
           {odd, "the" + odd + "cat", odd + "the", "the" + odd, " " + odd + " ", odd + odd + odd,
            "." + odd + "[PAD]" + odd + "."}) {
        pair.check(text);
      }
    }
    for (const std::string_view odd :
         {"\xC0\x80", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xF4\x90\x80\x80",
          "\xEF\xBF\xBE", "\xF0\x80\x80\x80", "\xE2\x82", "\xF0\x9F\x98"}) {
      for (const std::string& text :
           {std::string(odd), "the" + std::string(odd) + "cat", std::string(odd) + "[PAD]"}) {
        pair.check(text);
      }
    }
  }
}

TEST_CASE(added_tokens_of_every_kind_give_the_same_ids) {
  Random random(26);
  const std::string_view contents[] = {"[X]",          "<user>",
                                       "the",          "The",
                                       "cat dog",      " ",
                                       "##",           "\xC3\x89t\xC3\xA9",
                                       "\xE7\x8C\xAB", "[",
                                       "[PAD]x",       ".",
                                       "-dog-",        "\xE3\x80\x80",
                                       "i\xCC\x87",    "A"};
  for (std::size_t round = 0; round < rounds(150); ++round) {
    std::vector<AddedToken> tokens =
        random.one_in(2) ? special_tokens() : std::vector<AddedToken>{};
    for (std::size_t n = random.below(4); n > 0; --n) {
      tokens.push_back({.content = std::string(random.pick(contents)),
                        .id = static_cast<std::uint32_t>(5000 + n),
                        .single_word = random.one_in(3),
                        .lstrip = random.one_in(3),
                        .rstrip = random.one_in(3),
                        .normalized = random.one_in(2)});
    }
    const Pair pair(some_settings(random.pick(all_normalizers()), tokens));
    for (std::size_t i = 0; i < 20; ++i) {
      std::string text;
      for (std::size_t n = random.below(8); n > 0; --n) {
        text += random.one_in(2) ? std::string(random.pick(contents)) : random.text(3);
        if (random.one_in(3)) text.push_back(' ');
      }
      pair.check(text);
      pair.check(text, {1 + random.below(9), random.one_in(2)});
    }
  }
}

TEST_CASE(every_level_gives_the_same_ids) {
  const TokenizerSettings settings = some_settings({}, special_tokens());
  std::vector<std::string> owned;
  Random random(27);
  for (std::size_t i = 0; i < rounds(3000); ++i) {
    owned.push_back(random.one_in(2) ? random.text(random.below(40))
                                     : random.sentence(random.below(60)));
  }
  const std::vector<std::string_view> texts(owned.begin(), owned.end());
  const std::vector<IdList> expected = encode_all(Tokenizer(settings, CpuLevel::kBaseline), texts);
  for (const CpuLevel level : testing::cpu_levels()) {
    const Tokenizer tokenizer(settings, level);
    CHECK(encode_all(tokenizer, texts) == expected);  // cold
    CHECK(encode_all(tokenizer, texts) == expected);  // warm
  }
}

TEST_CASE(evictions_from_a_full_cache_change_no_ids) {
  const Pair pair(some_settings({}, special_tokens()));
  Random random(28);
  std::vector<std::string> words;
  for (std::size_t i = 0; i < rounds(150'000); ++i)
    words.push_back(random.letters(5 + random.below(25)));
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    text += words[i] + ' ';
    if (text.size() < 40'000 && i + 1 < words.size()) continue;
    encode_one(pair.fast, text);
    text.clear();
  }
  for (std::size_t i = 0; i < words.size(); i += 40) pair.check(words[i]);
}

TEST_CASE(callers_at_once_get_the_ids_of_one) {
  const Tokenizer tokenizer(some_settings({}, special_tokens()));
  Random random(29);
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < rounds(500); ++i) owned.push_back(random.text(random.below(40)));
  const std::vector<std::string_view> texts(owned.begin(), owned.end());
  const std::vector<IdList> expected = encode_all(tokenizer, texts);
  std::vector<int> right(8);
  {
    std::vector<std::jthread> threads;
    for (int& is_right : right) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) is_right = encode_all(tokenizer, texts) == expected ? 1 : 0;
      });
    }
  }
  for (const int is_right : right) CHECK_EQ(is_right, 1);
}

TEST_CASE(one_very_long_text_of_anything_is_done_in_no_time) {
  const Tokenizer tokenizer(some_settings({}, special_tokens()));
  const std::size_t n = rounds(4'000'000);
  for (const std::string_view unit : {"a", " ", ".", "\xCC\x81", "\xE7\x8C\xAB", "[", "[PAD]",
                                      "\x01", "a ", "\x80", "\xED\x95\x9C"}) {
    std::string text;
    while (text.size() < n) text += unit;
    encode_one(tokenizer, text, {512, false});
    encode_one(tokenizer, text, {512, true});
  }
}

TEST_CASE(max_id_counts_added_tokens) {
  const TokenizerSettings settings = some_settings({}, {{.content = "<user>", .id = 9000}});
  CHECK_EQ(Tokenizer(settings).max_id(), 9000U);
}

TEST_CASE(normalize_gives_the_text_that_words_are_made_of) {
  const Tokenizer tokenizer(some_settings());
  CHECK_EQ(tokenizer.normalize("\xC3\x89t\xC3\xA9 [PAD]"), "ete [pad]");
}

TEST_CASE(words_without_end_get_the_ids_of_the_specification) {
  for (const normalizers::Bert& normalizer : all_normalizers()) {
    const Pair pair(some_settings(normalizer, special_tokens()));
    std::string marks;
    for (std::size_t i = 0; i < 3000; ++i) marks += "\xCC\x81";
    const std::string accented = "a" + marks + "b";
    const std::string letters(5000, 'a');
    // what follows a word that is unknown for its length is found all the same
    const std::string mixed =
        letters + "\xE4\xB8\x82" + marks + "cat" + letters + "\xE3\x80\x80the";
    const std::string ordered = letters + "\xE0\xA3\x94\xE0\xA3\x96" + letters;
    for (const std::string& text : {accented, letters, mixed, ordered, marks}) pair.check(text);
  }
}

}  // namespace
