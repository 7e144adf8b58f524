// Random texts that tokenizers get wrong, a vocabulary that gives them many shapes of ids, and
// memory with a forbidden page behind it.

#ifndef VECSMITH_TESTS_RANDOM_TEXT_HPP_
#define VECSMITH_TESTS_RANDOM_TEXT_HPP_

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "vecsmith/cpu.hpp"
#include "vecsmith/tokenizer.hpp"
#include "vecsmith/unicode.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VECSMITH_TESTS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VECSMITH_TESTS_SANITIZED 1
#endif
#endif

namespace vecsmith::testing {

// As many rounds as asked, a fifth of them under a sanitizer.
inline std::size_t rounds(std::size_t n) {
#ifdef VECSMITH_TESTS_SANITIZED
  return n / 5 + 1;
#else
  return n;
#endif
}

using vecsmith::cpu_levels;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  // A number from 0 to n - 1.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::uint64_t bits() { return engine_(); }
  float uniform() { return static_cast<float>(below(1U << 24U)) / 8388608.0F - 1.0F; }

  template <typename Items>
  const auto& pick(const Items& items) {
    return items[below(std::size(items))];
  }

  std::string letters(std::size_t n) {
    std::string word;
    while (word.size() < n) word.push_back(static_cast<char>('a' + below(26)));
    return word;
  }

  // A text of `n` parts of every kind there is.
  std::string text(std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) append_part(out);
    return out;
  }

  // A text of plain words, as most are.
  std::string sentence(std::size_t n_words) {
    std::string out;
    for (std::size_t i = 0; i < n_words; ++i) {
      if (i > 0) out.push_back(' ');
      out += one_in(3) ? std::string(pick(kWords)) : letters(1 + below(9));
      if (one_in(9)) out.push_back(pick(std::string_view(",.!?;")));
    }
    return out;
  }

  static constexpr std::string_view kWords[] = {
      "the",   "cat",   "Dog",           "play",   "playing", "played", "unbelievable",
      "Hello", "WORLD", "international", "straße", "naïve",   "über",   "İstanbul"};

 private:
  void append_part(std::string& out) {
    static constexpr std::string_view kOdd[] = {"[UNK]",
                                                "[PAD]",
                                                "[MASK]",
                                                "[CLS",
                                                "[ UNK]",
                                                "[[PAD]]",
                                                "[unk]",
                                                "[",
                                                "<user>",
                                                "##ing",
                                                "\xC2\xA0",
                                                "\xE2\x80\x8B",
                                                "\xE3\x80\x80",
                                                "\xEF\xBB\xBF",
                                                "\xC2\x85",
                                                "\xE2\x80\xA8",
                                                "\xEF\xBF\xBD",
                                                "\xC4\xB0",
                                                "\xCC\x88",
                                                "\xE0\xA3\x94",
                                                "\xE0\xA3\xA3",
                                                "\xCD\x85",
                                                "\xE2\x80\x99",
                                                "\xE2\x82\xAC",
                                                "\xF0\x9F\x98\x80",
                                                "\xEF\xBC\xA1",
                                                "\xEF\xAC\x81"};
    static constexpr std::string_view kIllFormed[] = {"\x80",
                                                      "\xC0\xAF",
                                                      "\xC3",
                                                      "\xE4\xB8",
                                                      "\xED\xA0\x80",
                                                      "\xED\xA0",
                                                      "\xF0\x9F\x98",
                                                      "\xF5\x80\x80\x80",
                                                      "\xF4\x90\x80\x80",
                                                      "\xE0\x80\x80",
                                                      "\xFF",
                                                      "\xBF\xBF\xBF\xBF\xBF"};
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
        out += letters(1 + below(9));
        out.push_back(' ');
        break;
      case 3:
        out += pick(kWords);
        out.push_back(' ');
        break;
      case 4:
        out.push_back(static_cast<char>(below(128)));
        break;
      case 5:
        out.push_back(pick(std::string_view(" \t\n\r.,!?()[]-_'\"/")));
        break;
      case 6:
        append_word_of_some_length(out);
        break;
      case 7:
        for (std::size_t n = below(6); n > 0; --n) append_utf8(out, char32_t(0x4E00 + below(99)));
        break;
      case 8:
        for (std::size_t n = below(6); n > 0; --n) append_utf8(out, char32_t(0x3041 + below(180)));
        break;
      case 9:
        for (std::size_t n = below(4); n > 0; --n)
          append_utf8(out, char32_t(0xAC00 + below(11172)));
        break;
      case 10:
        for (std::size_t n = below(9); n > 0; --n) append_utf8(out, char32_t(0x410 + below(64)));
        out.push_back(' ');
        break;
      case 11:
        append_utf8(out, char32_t(below(0x3000)));
        break;
      case 12:
        append_utf8(out, char32_t(below(kMaxCodePoint + 1)));
        break;
      case 13:
        out += pick(kIllFormed);
        break;
      default:
        out += pick(kOdd);
    }
  }

  // Lengths at which keys, cache levels and the limit of 100 characters change.
  void append_word_of_some_length(std::string& out) {
    static constexpr std::size_t kLengths[] = {7,  8,  9,  15, 16, 17,  31,  32,
                                               33, 63, 64, 65, 99, 100, 101, 102};
    const std::size_t n = pick(kLengths);
    if (one_in(2)) {
      out += letters(n);
    } else {
      const char32_t first = one_in(2) ? 0x430 : 0x3041;
      for (std::size_t i = 0; i < n; ++i) append_utf8(out, char32_t(first + below(30)));
    }
    if (one_in(4)) out.push_back('\0');
    if (one_in(4)) out += "\xCC\x81";
    out.push_back(one_in(4) ? '.' : ' ');
  }

  std::mt19937_64 engine_;
};

// The WordPiece part of settings that have one.
inline WordPieceSettings& wordpiece_of(TokenizerSettings& settings) {
  return std::get<WordPieceSettings>(settings.model);
}
inline const WordPieceSettings& wordpiece_of(const TokenizerSettings& settings) {
  return std::get<WordPieceSettings>(settings.model);
}

// Settings with whole words, pieces and letters of several scripts; words give 0 to 100 ids.
inline TokenizerSettings some_settings(normalizers::Bert normalizer = {},
                                       std::vector<AddedToken> added_tokens = {}) {
  TokenizerSettings settings;
  settings.normalizer = {normalizer};
  settings.splitter = {splitters::Bert{}};
  std::vector<std::string>& tokens = wordpiece_of(settings).tokens;
  tokens = {"[PAD]", "[UNK]",  "[CLS]", "[SEP]",    "[MASK]",  "the",      "cat",
            "dog",   "Dog",    "play",  "Hello",    "hello",   "world",    "WORLD",
            "inter", "##ing",  "##ed",  "##nation", "##al",    "un",       "##bel",
            "##iev", "##able", "naive", "\xC3\xBC", "strasse", "i\xCC\x87"};
  const auto add = [&](char32_t c) {
    std::string letter;
    append_utf8(letter, c);
    tokens.push_back(letter);
    tokens.push_back("##" + letter);
  };
  for (char32_t c = U'a'; c <= U'z'; ++c) {
    if (c != U'q') add(c);  // words with a q are unknown
  }
  for (char32_t c = U'0'; c <= U'9'; ++c) add(c);
  for (const char c : std::string_view(".,!?[]()-'#")) tokens.emplace_back(1, c);
  for (char32_t c = 0x430; c < 0x450; ++c) add(c);
  for (char32_t c = 0x3041; c < 0x3060; ++c) add(c);
  for (char32_t c = 0x1100; c < 0x1113; ++c) add(c);
  for (char32_t c = 0x1161; c < 0x1176; ++c) add(c);
  for (char32_t c = 0x4E00; c < 0x4E40; ++c) add(c);
  for (const char32_t c : std::u32string{0x308, 0x8D4, 0x8E3, 0xE9, 0xDF, 0x2019, 0x20AC, 0xFFFD}) {
    add(c);
  }
  Random random(5);
  for (std::size_t i = 0; i < 300; ++i) {
    const std::string piece = random.letters(2 + random.below(2));
    tokens.push_back(random.one_in(2) ? piece : "##" + piece);
  }
  std::vector<std::string> distinct;
  for (const std::string& token : tokens) {
    if (std::find(distinct.begin(), distinct.end(), token) == distinct.end()) {
      distinct.push_back(token);
    }
  }
  tokens = distinct;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    wordpiece_of(settings).ids.push_back(static_cast<std::uint32_t>(i));
  }
  wordpiece_of(settings).unk_id = 1;
  settings.added_tokens = std::move(added_tokens);
  return settings;
}

// The special tokens of a BERT vocabulary: found in raw text, no flags.
inline std::vector<AddedToken> special_tokens() {
  std::vector<AddedToken> tokens;
  for (const std::string_view content : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    tokens.push_back({.content = std::string(content),
                      .id = static_cast<std::uint32_t>(tokens.size()),
                      .normalized = false});
  }
  return tokens;
}

// `size` bytes that end where a page begins that must not be touched.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    usable_ = (size + page - 1) / page * page;
    mapped_ = usable_ + page;
    void* const memory =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    memory_ = static_cast<unsigned char*>(memory);
    if (mprotect(memory_ + usable_, page, PROT_NONE) != 0) throw std::bad_alloc();
  }
  ~GuardedBytes() { munmap(memory_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  unsigned char* data() { return memory_ + usable_ - size_; }

 private:
  std::size_t size_;
  std::size_t usable_ = 0;
  std::size_t mapped_ = 0;
  unsigned char* memory_ = nullptr;
};

}  // namespace vecsmith::testing

#endif  // VECSMITH_TESTS_RANDOM_TEXT_HPP_
