// The tokenizer as its specification reads: one step after another, every candidate tried, nothing
// remembered. What the engine gives is compared with this; normalised text itself is checked in
// test_bert_normalizer.cpp and against Hugging Face in the Python tests.

#ifndef VECSMITH_TESTS_PLAIN_TOKENIZER_HPP_
#define VECSMITH_TESTS_PLAIN_TOKENIZER_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vecsmith/added_tokens.hpp"
#include "vecsmith/tokenizer.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith::testing {

using IdList = std::vector<std::uint32_t>;

// Code points of a text; ill-formed bytes count as U+FFFD.
inline std::u32string code_points_of(std::string_view text) {
  std::u32string code_points;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) code_points.push_back(decode_utf8(p, end));
  return code_points;
}

// A stretch of text, or an added token where `id` is set.
struct PlainPiece {
  std::string text;
  std::optional<std::uint32_t> id;
  bool operator==(const PlainPiece&) const = default;
};

// Pieces of `text`: at every place each token is tried, the longest wins, then the flags decide.
inline std::vector<PlainPiece> plain_split(std::string_view text,
                                           const std::vector<AddedToken>& tokens,
                                           const std::vector<std::string>& contents) {
  std::vector<PlainPiece> pieces;
  std::size_t done = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (contents[i].empty() || !text.substr(at).starts_with(contents[i])) continue;
      if (!best || contents[i].size() > contents[*best].size()) best = i;
    }
    if (!best) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens[*best];
    std::size_t begin = at;
    std::size_t end = at + contents[*best].size();
    at = end;
    if (token.single_word) {
      const std::u32string before = code_points_of(text.substr(0, begin));
      const std::u32string after = code_points_of(text.substr(end));
      if (!before.empty() && has_any(before.back(), kWord)) continue;
      if (!after.empty() && has_any(after.front(), kWord)) continue;
    }
    if (token.lstrip) {
      // The longest run of white space that ends here is the one with the earliest begin.
      for (std::size_t from = 0; from < begin; ++from) {
        if (from > 0 && (static_cast<unsigned char>(text[from]) & 0xC0U) == 0x80) continue;
        if (std::ranges::all_of(code_points_of(text.substr(from, begin - from)),
                                [](char32_t c) { return has_any(c, kRegexSpace); })) {
          begin = from;
        }
      }
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      const char* p = text.data() + end;
      while (p != text.data() + text.size()) {
        const char* next = p;
        if (!has_any(decode_utf8(next, text.data() + text.size()), kRegexSpace)) break;
        p = next;
      }
      end = static_cast<std::size_t>(p - text.data());
    }
    if (done < begin) pieces.push_back({std::string(text.substr(done, begin - done)), {}});
    if (begin < end) pieces.push_back({std::string(text.substr(begin, end - begin)), token.id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({std::string(text.substr(done)), {}});
  return pieces;
}

class PlainTokenizer {
 public:
  explicit PlainTokenizer(const TokenizerSettings& settings)
      : wordpiece_(std::get<WordPieceSettings>(settings.model)), normalizer_(settings.normalizer) {
    const WordPieceSettings& w = wordpiece_;
    for (std::size_t i = 0; i < w.tokens.size(); ++i) {
      vocabulary_.emplace(w.tokens[i], w.ids[i]);
      longest_ = std::max(longest_, w.tokens[i].size());
    }
    for (const AddedToken& token : settings.added_tokens) {
      auto& tokens = token.normalized ? normalized_tokens_ : raw_tokens_;
      auto& contents = token.normalized ? normalized_contents_ : raw_contents_;
      tokens.push_back(token);
      contents.push_back(token.normalized ? normalized(token.content) : token.content);
    }
  }

  IdList encode(std::string_view text, Truncation truncation = {}) const {
    IdList ids;
    for (const PlainPiece& raw : plain_split(text, raw_tokens_, raw_contents_)) {
      if (raw.id) {
        ids.push_back(*raw.id);
        continue;
      }
      const std::string flat = normalized(raw.text);
      for (const PlainPiece& piece : plain_split(flat, normalized_tokens_, normalized_contents_)) {
        if (piece.id) {
          ids.push_back(*piece.id);
        } else {
          append_words(piece.text, ids);
        }
      }
    }
    if (ids.size() > truncation.max_length) {
      const auto n = static_cast<std::ptrdiff_t>(truncation.max_length);
      ids = truncation.keep_end ? IdList(ids.end() - n, ids.end())
                                : IdList(ids.begin(), ids.begin() + n);
    }
    return ids;
  }

  std::string normalized(std::string_view text) const {
    std::string out;
    normalizer_.append(text, out);
    return out;
  }

 private:
  void append_words(std::string_view text, IdList& ids) const {
    std::u32string word;
    for (const char32_t c : code_points_of(text)) {
      if (has_any(c, kWhitespace | kPunctuation)) {
        append_word(word, ids);
        word.clear();
        if (!has_any(c, kWhitespace)) append_word({c}, ids);
      } else {
        word.push_back(c);
      }
    }
    append_word(word, ids);
  }

  void append_word(const std::u32string& word, IdList& ids) const {
    if (word.empty()) return;
    const std::uint32_t unk = wordpiece_.unk_id;
    if (word.size() > wordpiece_.max_input_chars_per_word) return ids.push_back(unk);
    IdList pieces;
    std::size_t begin = 0;
    while (begin < word.size()) {
      std::size_t end = word.size();
      for (; end > begin; --end) {
        std::string piece = begin > 0 ? wordpiece_.continuing_subword_prefix : "";
        for (std::size_t i = begin; i < end; ++i) append_utf8(piece, word[i]);
        if (piece.size() > longest_) continue;
        const auto found = vocabulary_.find(piece);
        if (found == vocabulary_.end()) continue;
        pieces.push_back(found->second);
        break;
      }
      if (end == begin) return ids.push_back(unk);
      begin = end;
    }
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  WordPieceSettings wordpiece_;
  Normalizer normalizer_;
  std::map<std::string, std::uint32_t> vocabulary_;
  std::size_t longest_ = 0;
  std::vector<AddedToken> raw_tokens_, normalized_tokens_;
  std::vector<std::string> raw_contents_, normalized_contents_;
};

// Ids of each text, from one call of the engine.
inline std::vector<IdList> encode_all(const Tokenizer& tokenizer,
                                      std::span<const std::string_view> texts,
                                      Truncation truncation = {}) {
  IdBuffer ids;
  std::vector<std::size_t> ends;
  tokenizer.encode(texts, truncation, ids, ends);
  std::vector<IdList> lists;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    const auto slice = ids.slice(begin, end);
    lists.emplace_back(slice.begin(), slice.end());
    begin = end;
  }
  return lists;
}

inline IdList encode_one(const Tokenizer& tokenizer, std::string_view text,
                         Truncation truncation = {}) {
  return encode_all(tokenizer, {&text, 1}, truncation).at(0);
}

}  // namespace vecsmith::testing

#endif  // VECSMITH_TESTS_PLAIN_TOKENIZER_HPP_
