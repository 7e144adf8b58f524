// The path for words that are parted by spaces gives what the plain path gives, whatever the text.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.hpp"
#include "fast_path.hpp"
#include "plain_path.hpp"
#include "plain_tokenizer.hpp"
#include "random_text.hpp"
#include "vecsmith/tokenizer.hpp"

namespace {

using namespace vecsmith;
using testing::IdList;
using Prepend = splitters::Metaspace::Prepend;

constexpr std::string_view kMark = "\xE2\x96\x81";

std::string with_mark(std::string_view word) { return std::string(kMark).append(word); }

std::vector<std::string> pieces() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "<mask>", std::string(kMark)};
  for (const std::string_view word : testing::Random::kWords) {
    tokens.emplace_back(word);
    tokens.push_back(with_mark(word));
  }
  const auto add = [&](char32_t c) { append_utf8(tokens.emplace_back(), c); };
  for (char32_t c = U'a'; c <= U'z'; ++c) {
    if (c != U'q') add(c);
  }
  for (char32_t c = 0x430; c < 0x450; ++c) add(c);
  for (char32_t c = 0x3041; c < 0x3060; ++c) add(c);
  for (char32_t c = 0x4E00; c < 0x4E40; ++c) add(c);
  for (const char32_t c : std::u32string{0x308, 0xE9, 0xDF, 0x2019, 0x20AC, 0xFFFD, U',', U'.'}) {
    add(c);
  }
  testing::Random random(8);
  for (std::size_t i = 0; i < 300; ++i) {
    std::string piece = random.letters(1 + random.below(4));
    if (random.one_in(9)) append_utf8(piece, char32_t(0x3041 + random.below(30)));
    tokens.push_back(random.one_in(2) ? piece : with_mark(piece));
  }
  return tokens;
}

UnigramSettings unigram() {
  UnigramSettings settings;
  settings.tokens = pieces();
  testing::Random random(6);
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    settings.scores.push_back(-static_cast<double>(random.below(1000)) / 64.0);
  }
  settings.unk_id = 0;
  return settings;
}

WordLevelSettings word_level() {
  WordLevelSettings settings;
  for (const std::string& token : pieces()) {
    if (std::ranges::find(settings.tokens, token) != settings.tokens.end()) continue;
    settings.ids.push_back(static_cast<std::uint32_t>(settings.tokens.size()));
    settings.tokens.push_back(token);
  }
  return settings;
}

// A BPE whose merges spell the pieces from their first character on, and rows of marks.
BpeSettings bpe() {
  BpeSettings settings;
  settings.unk_id = 0;
  settings.fuse_unk = true;
  const auto token = [&](const std::string& text) {
    const auto found = std::ranges::find(settings.tokens, text);
    const auto place = static_cast<std::uint32_t>(found - settings.tokens.begin());
    if (found == settings.tokens.end()) {
      settings.ids.push_back(place);
      settings.tokens.push_back(text);
    }
    return place;
  };
  std::vector<std::string> words = pieces();
  for (const std::size_t n : {2U, 3U, 4U}) {
    words.emplace_back();
    for (std::size_t i = 0; i < n; ++i) words.back() += kMark;
  }
  for (const char* const special : {"<unk>", "<s>", "<mask>"}) token(special);
  for (const std::string& word : words) {
    if (word.starts_with('<')) continue;
    const char* p = word.data();
    const char* const end = p + word.size();
    for (std::uint32_t before = 0; p != end;) {
      const char* const here = p;
      static_cast<void>(decode_utf8(p, end));
      const std::uint32_t character = token({here, p});
      const bool is_first = here == word.data();
      const std::uint32_t so_far = is_first ? character : token({word.data(), p});
      if (!is_first) settings.merges.push_back({before, character, so_far});
      before = so_far;
    }
  }
  return settings;
}

normalizers::Replace joined_spaces(std::string_view regex, std::string_view by) {
  return {*Pattern::of_regex(regex), std::string(by)};
}

// Normalizers of models in use, and some that are only hard.
std::vector<NormalizerSettings> normalizer_kinds() {
  const normalizers::Replace comma{Pattern(","), " , "};
  const normalizers::Replace quotes{Pattern("``"), "\""};
  std::vector<NormalizerSettings> kinds = {
      {},
      {normalizers::Nfkc{}},
      {normalizers::Nmt{}, normalizers::Nfkc{}, joined_spaces(" {2,}", " ")},
      {normalizers::Nfkc{}, normalizers::Strip{false, true}, joined_spaces(" {2,}", kMark)},
      {normalizers::Nfkc{}, normalizers::Strip{true, true}},
      {normalizers::Nfkc{}, normalizers::Strip{true, false}},
      {quotes, normalizers::Nfkd{}, normalizers::StripAccents{}, normalizers::Lowercase{},
       joined_spaces(" {2,}", " ")},
      {normalizers::Bert{}, comma, joined_spaces(R"(\s+)", " "), normalizers::Strip{}},
      {normalizers::Bert{}, comma},
      {normalizers::Strip{}, normalizers::Nfc{}, normalizers::Lowercase{}},
  };
  return kinds;
}

std::vector<SplitterSettings> splitter_kinds() {
  const splitters::Metaspace always{};
  const splitters::Metaspace first{.prepend = Prepend::kFirst};
  const splitters::Metaspace never{.prepend = Prepend::kNever};
  const splitters::WhitespaceSplit whole{};
  return {{always},
          {first},
          {never},
          {whole, always},
          {whole, never},
          {whole},
          {splitters::Whitespace{}},
          {splitters::Bert{}},
          {whole, splitters::Punctuation{}, always}};
}

std::vector<std::vector<AddedToken>> added_kinds() {
  const AddedToken mask{.content = "<mask>", .id = 2, .lstrip = true, .normalized = false};
  const AddedToken start{.content = "<s>", .id = 1, .normalized = true};
  const AddedToken word{.content = "the cat", .id = 7, .normalized = false};
  return {{}, {mask}, {mask, start}, {word}};
}

std::string spaced_text(testing::Random& random) {
  static constexpr std::string_view kParts[] = {" ",
                                                "  ",
                                                "   ",
                                                "\t",
                                                "\n",
                                                "\r\n",
                                                "\r",
                                                "\xE3\x80\x80",
                                                "\xC2\xA0",
                                                "\xCC\x88",
                                                "<s>",
                                                "<mask>",
                                                "\xE2\x96\x81",
                                                "\xE2\x80\x8B",
                                                ",",
                                                "``",
                                                "the cat",
                                                "\xD8\x80",
                                                "\xF0\x9F\x98\x80",
                                                "a"};
  std::string text;
  for (std::size_t n = random.below(14); n > 0; --n) {
    if (random.one_in(2)) {
      text += random.pick(kParts);
    } else {
      text += random.one_in(2) ? std::string(random.pick(testing::Random::kWords))
                               : random.letters(1 + random.below(20));
    }
    if (random.one_in(3)) text += ' ';
  }
  return text;
}

IdList plain_ids(const PlainPath& plain, std::string_view text) {
  PlainPath::Scratch scratch;
  IdBuffer ids;
  plain.append(text, scratch, ids);
  const auto all = ids.slice(0, ids.size());
  return {all.begin(), all.end()};
}

// The ids of each text by the path itself.
std::vector<IdList> path_ids(const FastPath& path, const std::vector<std::string>& texts,
                             Truncation truncation = {}) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  IdBuffer ids;
  std::vector<std::size_t> ends;
  path.encode(views, truncation, ids, ends);
  CHECK_EQ(ends.size(), texts.size());
  std::vector<IdList> lists;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const auto slice = ids.slice(begin, end);
    lists.emplace_back(slice.begin(), slice.end());
    begin = end;
  }
  return lists;
}

std::unique_ptr<FastPath> path_of(const TokenizerSettings& settings, const PlainPath& plain) {
  return make_space_path(settings, plain, kernels::kernels_of(best_cpu_level()));
}

void check_all(const TokenizerSettings& settings, testing::Random& random, std::size_t n) {
  const PlainPath plain(settings);
  const auto path = path_of(settings, plain);
  if (path == nullptr) return;
  std::vector<std::string> texts = {"", " ", "   ", "a", " a", "a ", "  a  ", "a  b"};
  // Marks and signs in one cluster with a space, or gone: after an emoji, in a hyphenated word.
  texts.insert(texts.end(),
               {"a \ufe0f b", "a\u00ad b", " \u0301a", "a \u200b\u0301 b\u200d", "\ufeffa"});
  for (std::size_t i = 0; i < n; ++i) {
    texts.push_back(random.one_in(3) ? random.text(random.below(12)) : spaced_text(random));
  }
  for (int round = 0; round < 2; ++round) {  // the cache cold, then warm
    const std::vector<IdList> found = path_ids(*path, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (found[i] != plain_ids(plain, texts[i]))
        testing::report(__FILE__, __LINE__, testing::show(texts[i]));
      CHECK_EQ(found[i], plain_ids(plain, texts[i]));
    }
  }
}

TEST_CASE(words_between_spaces_have_the_ids_of_the_plain_path) {
  testing::Random random(31);
  for (const NormalizerSettings& normalizer : normalizer_kinds()) {
    for (const SplitterSettings& splitter : splitter_kinds()) {
      for (const std::vector<AddedToken>& added : added_kinds()) {
        TokenizerSettings settings{normalizer, splitter, unigram(), added};
        check_all(settings, random, testing::rounds(60));
        settings.model = word_level();
        check_all(settings, random, testing::rounds(20));
      }
    }
  }
}

// Tokenizers without a word boundary: Llama 2's, Gemma's, Mistral's, and such with other steps.
std::vector<TokenizerSettings> joined_kinds() {
  const std::string mark(kMark);
  const normalizers::Replace spaces{Pattern(" "), mark};
  const normalizers::Prepend prefix{mark};
  const auto joined = [](Prepend prepend) {
    return splitters::Metaspace{.prepend = prepend, .split = false};
  };
  const splitters::Split nowhere{Pattern(" "), splitters::Behavior::kMergedWithPrevious, false};
  return {
      {{prefix, spaces}, {}, bpe(), {}},
      {{spaces}, {nowhere}, bpe(), {}},
      {{spaces, prefix}, {}, bpe(), {}},
      {{normalizers::Nfkc{}, prefix, spaces}, {}, bpe(), {}},
      {{normalizers::Nfkd{}, normalizers::Lowercase{}, spaces}, {}, bpe(), {}},
      {{}, {joined(Prepend::kAlways)}, bpe(), {}},
      {{}, {joined(Prepend::kFirst)}, bpe(), {}},
      {{normalizers::Nfkc{}}, {joined(Prepend::kNever)}, bpe(), {}},
  };
}

TEST_CASE(texts_that_are_one_word_are_cut_where_nothing_merges) {
  testing::Random random(34);
  for (TokenizerSettings settings : joined_kinds()) {
    for (const std::vector<AddedToken>& added : added_kinds()) {
      settings.added_tokens = added;
      CHECK(path_of(settings, PlainPath(settings)) != nullptr);
      check_all(settings, random, testing::rounds(100));
    }
    settings.added_tokens.clear();
    const PlainPath plain(settings);
    const auto path = path_of(settings, plain);
    std::vector<std::string> texts = {std::string(9000, ' '), std::string(5000, ' ') + "a"};
    for (const std::size_t size : {4090U, 4096U, 9000U}) {
      texts.push_back(random.letters(size));
      texts.push_back(random.sentence(size / 6) + "  ");
    }
    const std::vector<IdList> found = path_ids(*path, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) CHECK(found[i] == plain_ids(plain, texts[i]));
  }
}

TEST_CASE(texts_that_are_one_word_stay_whole_where_something_may_merge_across_spaces) {
  const auto has_path = [](const TokenizerSettings& settings) {
    const PlainPath plain(settings);
    return path_of(settings, plain) != nullptr;
  };
  TokenizerSettings settings = joined_kinds()[0];
  CHECK(has_path(settings));
  auto& model = std::get<BpeSettings>(settings.model);
  model.ignore_merges = true;  // a text of two words may be a token
  CHECK(!has_path(settings));
  model.ignore_merges = false;
  const auto place_of = [&](std::string_view token) {
    const auto found = std::ranges::find(model.tokens, token);
    return static_cast<std::uint32_t>(found - model.tokens.begin());
  };
  const auto merged = static_cast<std::uint32_t>(model.tokens.size());
  model.tokens.push_back(std::string("a").append(kMark));
  model.ids.push_back(merged);
  model.merges.push_back({place_of("a"), place_of(kMark), merged});
  CHECK(!has_path(settings));
  settings = joined_kinds()[0];
  settings.normalizer[0] = normalizers::Prepend{"a"};
  CHECK(!has_path(settings));
  settings = joined_kinds()[0];
  settings.model = unigram();  // sums of scores go on across words
  CHECK(!has_path(settings));
}

TEST_CASE(texts_longer_than_a_window_have_the_ids_of_the_plain_path) {
  testing::Random random(32);
  for (const std::size_t kind : {std::size_t{2}, std::size_t{3}, std::size_t{0}}) {
    const TokenizerSettings settings{
        normalizer_kinds()[kind], {splitters::Metaspace{}}, unigram(), {}};
    const PlainPath plain(settings);
    const auto path = path_of(settings, plain);
    CHECK(path != nullptr);
    std::vector<std::string> texts;
    for (const std::size_t size : {4090U, 4095U, 4096U, 4097U, 9000U, 30000U}) {
      texts.push_back(random.letters(size));
      texts.push_back(random.letters(size) + " " + random.letters(5));
      texts.push_back(random.sentence(size / 6));
      texts.push_back(std::string(size, ' ') + "a");
      std::string kana;
      while (kana.size() < size) append_utf8(kana, char32_t(0x3041 + random.below(30)));
      texts.push_back(kana);
    }
    const std::vector<IdList> found = path_ids(*path, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) CHECK(found[i] == plain_ids(plain, texts[i]));
  }
}

TEST_CASE(cut_texts_have_the_first_or_the_last_of_their_ids) {
  testing::Random random(33);
  const TokenizerSettings settings{normalizer_kinds()[2], {splitters::Metaspace{}}, unigram(), {}};
  const PlainPath plain(settings);
  const auto path = path_of(settings, plain);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 200; ++i) texts.push_back(random.sentence(random.below(40)));
  texts.push_back(random.letters(20000));
  for (const bool keep_end : {false, true}) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{7}}) {
      const std::vector<IdList> found = path_ids(*path, texts, {length, keep_end});
      for (std::size_t i = 0; i < texts.size(); ++i) {
        IdList all = plain_ids(plain, texts[i]);
        const std::size_t n = std::min(length, all.size());
        const auto n_dropped = static_cast<std::ptrdiff_t>(all.size() - n);
        keep_end ? all.erase(all.begin(), all.begin() + n_dropped)
                 : all.erase(all.end() - n_dropped, all.end());
        CHECK_EQ(found[i], all);
      }
    }
  }
}

TEST_CASE(settings_whose_words_may_reach_across_spaces_have_no_such_path) {
  const auto has_path = [](NormalizerSettings normalizer, SplitterSettings splitter) {
    const TokenizerSettings settings{std::move(normalizer), std::move(splitter), unigram(), {}};
    const PlainPath plain(settings);
    return path_of(settings, plain) != nullptr;
  };
  const splitters::Metaspace mark{};
  CHECK(has_path({}, {mark}));
  CHECK(!has_path({}, {}));
  CHECK(!has_path({normalizers::Prepend{"a"}}, {mark}));
  CHECK(!has_path({normalizers::Replace{Pattern(" "), "_"}}, {mark}));
  CHECK(!has_path({normalizers::Replace{Pattern("a b"), "c"}}, {mark}));
  CHECK(!has_path({joined_spaces(" {2,}", " "), normalizers::Nfkc{}}, {mark}));
  CHECK(!has_path({}, {splitters::Digits{}, splitters::WhitespaceSplit{}}));
}

}  // namespace
