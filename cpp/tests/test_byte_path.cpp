// The pieces of a byte-level model against the regular expression step by step, and its ids against
// the plain path: windows, cuts, caches, triggers, truncation, levels.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "byte_pattern.hpp"
#include "check.hpp"
#include "plain_path.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/tokenizer.hpp"

namespace {

using namespace vecsmith;
using testing::encode_all;
using testing::encode_one;
using testing::IdList;
using testing::Random;

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string kLlamaHead = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
const std::string kLlamaTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> regexes() {
  return {std::string(kGpt2), kLlamaHead + "{1,3}" + kLlamaTail, kLlamaHead + kLlamaTail,
          kLlamaHead + "+" + kLlamaTail};
}

// A text of what the expressions tell apart.
std::string split_text(Random& random, std::size_t n) {
  static constexpr std::string_view kParts[] = {"a",
                                                "Word",
                                                " ",
                                                "  ",
                                                "\n",
                                                "\r\n",
                                                "\t",
                                                "'s",
                                                "'S",
                                                "'ll",
                                                "'re",
                                                "'",
                                                "''",
                                                "!",
                                                "...",
                                                "(",
                                                "1",
                                                "12",
                                                "12345",
                                                "<",
                                                "<|e|>",
                                                "\xC2\xA0",
                                                "\xE3\x80\x80",
                                                "\xE2\x80\xA8",
                                                "\xC3\xA9",
                                                "\xE4\xB8\xAD",
                                                "\xEF\xBC\x8C",
                                                "\xCC\x81",
                                                "\xD9\xA3",
                                                "\xC2\xB2",
                                                "'\xC5\xBF",
                                                "\xE2\x80\x99",
                                                "\xF0\x9F\x98\x80",
                                                "\xF0\x90\x90\x80",
                                                "\xEF\xBF\xBD",
                                                "\x1C",
                                                "\xC2\x85"};
  std::string text;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string_view part = random.pick(kParts);
    for (std::size_t k = random.one_in(12) ? random.below(90) : 1; k > 0; --k) text += part;
  }
  return text;
}

std::vector<std::size_t> ends_of(const Pattern& pattern, std::string_view text) {
  std::vector<std::size_t> ends;
  pattern.find_all(text, [&](std::size_t, std::size_t end) { ends.push_back(end); });
  return ends;
}

TEST_CASE(pieces_end_where_the_matches_of_the_expression_do) {
  for (const std::string& regex : regexes()) {
    const BytePattern known = BytePattern::of_regex(regex).value();
    const Pattern pattern = Pattern::of_regex(regex).value();
    Random random(6);
    for (std::size_t round = 0; round < testing::rounds(2000); ++round) {
      const std::string text = split_text(random, random.below(20));
      std::vector<std::size_t> ends;
      for (std::size_t at = 0; at < text.size(); at = ends.back()) {
        ends.push_back(known.end_of_piece(text, at));
        CHECK(ends.back() > at);
        if (ends.back() <= at) return;
      }
      CHECK_EQ(ends, ends_of(pattern, text));
    }
  }
}

TEST_CASE(other_expressions_are_not_taken_for_those_known) {
  CHECK(!BytePattern::of_regex(""));
  CHECK(!BytePattern::of_regex(R"(\s+)"));
  CHECK(!BytePattern::of_regex(kLlamaHead + "{1,2}" + kLlamaTail));
  CHECK(!BytePattern::of_regex(kLlamaHead.substr(0, kLlamaHead.size() - 1)));
  CHECK(!BytePattern::of_regex(std::string(kGpt2) + "|x"));
}

// ---- ids ----------------------------------------------------------------------------------------

// Every byte as GPT-2 spells it, and some merges of letters, blanks and UTF-8 bytes.
BpeSettings some_bytes() {
  BpeSettings settings;
  settings.byte_level = true;
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    append_utf8(settings.tokens.emplace_back(), prints ? b : next++);
  }
  const auto merge = [&](std::uint32_t left, std::uint32_t right) {
    settings.merges.push_back({left, right, static_cast<std::uint32_t>(settings.tokens.size())});
    settings.tokens.push_back(settings.tokens[left] + settings.tokens[right]);
    return static_cast<std::uint32_t>(settings.tokens.size() - 1);
  };
  const std::uint32_t th = merge('t', 'h');
  merge(merge(' ', 't'), 'h');
  merge(th, 'e');
  merge('a', 'a');
  merge(' ', ' ');
  merge('.', '.');
  merge(merge(0xF0, 0x9F), 0x98);
  merge('1', '2');
  merge('W', 'o');
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.ids.push_back(static_cast<std::uint32_t>(i + 1000));
  }
  return settings;
}

std::vector<TokenizerSettings> all_settings() {
  std::vector<TokenizerSettings> all;
  TokenizerSettings settings;
  settings.model = some_bytes();
  settings.added_tokens.resize(2);
  settings.added_tokens[0].content = "<|e|>";
  settings.added_tokens[0].normalized = false;
  settings.added_tokens[0].id = 7;
  settings.added_tokens[1].content = "Word!";
  settings.added_tokens[1].id = 8;
  settings.splitter = {splitters::ByteLevel{true, true}};
  all.push_back(settings);
  settings.normalizer = {normalizers::Lowercase{}};
  all.push_back(settings);
  settings.normalizer = {normalizers::Nfc{}};
  settings.splitter = {splitters::ByteLevel{false, true}};
  all.push_back(settings);
  settings.added_tokens.pop_back();
  settings.normalizer.clear();
  for (const std::string& regex : regexes()) {
    const Pattern pattern = Pattern::of_regex(regex).value();
    settings.splitter = {splitters::Split{pattern, splitters::Behavior::kIsolated, false},
                         splitters::ByteLevel{false, false}};
    all.push_back(settings);
  }
  return all;
}

struct Both {
  explicit Both(const TokenizerSettings& settings, CpuLevel level = best_cpu_level())
      : fast(settings, level), plain(settings) {}

  void check(std::string_view text, Truncation truncation = {}) const {
    std::vector<char> exact(text.begin(), text.end());  // a sanitizer sees its end
    const IdList found = encode_one(fast, {exact.data(), exact.size()}, truncation);
    IdBuffer ids;
    PlainPath::Scratch scratch;
    plain.append(text, scratch, ids);
    std::span<const std::uint32_t> expected = ids.slice(0, ids.size());
    if (expected.size() > truncation.max_length) {
      expected = truncation.keep_end ? expected.last(truncation.max_length)
                                     : expected.first(truncation.max_length);
    }
    if (std::ranges::equal(found, expected)) return;
    CHECK_EQ(found, IdList(expected.begin(), expected.end()));
    CHECK_EQ(text.substr(0, 300), "the text above");
  }

  Tokenizer fast;
  PlainPath plain;
};

TEST_CASE(byte_level_texts_get_the_ids_of_the_plain_path_under_every_setting_and_level) {
  for (const CpuLevel level : testing::cpu_levels()) {
    for (const TokenizerSettings& settings : all_settings()) {
      const Both both(settings, level);
      Random random(7);
      for (std::size_t round = 0; round < testing::rounds(300); ++round) {
        std::string text = split_text(random, random.below(30));
        if (random.one_in(4)) text += random.text(random.below(40));
        if (random.one_in(20)) text.insert(random.below(text.size() + 1), 1, '\0');
        both.check(text, {random.one_in(3) ? random.below(9) : Truncation::kAll, random.one_in(2)});
      }
    }
  }
}

TEST_CASE(byte_level_texts_of_all_lengths_around_a_window_are_cut_where_it_changes_nothing) {
  for (const TokenizerSettings& settings : all_settings()) {
    const Both both(settings);
    Random random(8);
    for (std::size_t round = 0; round < testing::rounds(40); ++round) {
      std::string text;
      const bool is_uniform = random.one_in(2);
      const std::string part = split_text(random, 1 + random.below(3)) + "a";
      while (text.size() < 4000) text += is_uniform ? part : split_text(random, 9);
      while (text.size() < 4096 + 80) {
        text += is_uniform ? part : split_text(random, 1);
        both.check(text);
      }
    }
  }
}

TEST_CASE(words_longer_than_a_window_get_the_ids_of_the_plain_path) {
  for (const TokenizerSettings& settings : all_settings()) {
    const Both both(settings);
    for (const std::string_view part :
         {"a", " ", "\n", " \n", "!", "1", "\xE4\xB8\xAD", "\xCC\x81", "\xE3\x80\x80", "'", "<"}) {
      std::string run;
      while (run.size() < 10000) run += part;
      both.check(run);
      both.check(run, {5});
      both.check("x " + run + " y" + run);
      both.check(run + "<|e|>the" + run);
      both.check(run + "\xFF" + run);
    }
  }
}

TEST_CASE(byte_level_texts_give_the_same_ids_alone_and_together) {
  for (const TokenizerSettings& settings : all_settings()) {
    const Tokenizer tokenizer(settings);
    Random random(9);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < testing::rounds(400); ++i) {
      texts.push_back(random.one_in(8) ? "" : split_text(random, random.below(25)));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const std::vector<IdList> together = encode_all(tokenizer, views, {9});
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CHECK_EQ(together[i], encode_one(tokenizer, texts[i], {9}));
    }
  }
}

TEST_CASE(a_word_and_the_same_with_a_nul_behind_it_are_two) {
  using namespace std::string_view_literals;
  const Tokenizer tokenizer(all_settings()[3]);
  CHECK_EQ(encode_one(tokenizer, "the"), (IdList{1259}));
  CHECK_EQ(encode_one(tokenizer, "the\0"sv), (IdList{1259, 1000}));
  CHECK_EQ(encode_one(tokenizer, "\0"sv), (IdList{1000}));
}

}  // namespace
