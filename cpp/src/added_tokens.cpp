#include "vecsmith/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

char32_t first_of(std::string_view text) {
  const char* p = text.data();
  return decode_utf8(p, p + text.size());
}

// Last character of a non-empty text, and where it begins. Ill-formed bytes at the end count as one
// U+FFFD: neither a word nor white space.
std::pair<char32_t, std::size_t> last_of(std::string_view text) {
  std::size_t begin = text.size() - 1;
  const std::size_t stop = text.size() > 4 ? text.size() - 4 : 0;
  while (begin > stop && is_continuation(text[begin])) --begin;
  const char* p = text.data() + begin;
  const char32_t c = decode_utf8(p, text.data() + text.size());
  const bool is_whole = p == text.data() + text.size();
  return {is_whole ? c : kReplacementCharacter, begin};
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && has_any(last_of(text).first, kWord);
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && has_any(first_of(text), kWord);
}

std::size_t without_trailing_space(std::string_view text) {
  while (!text.empty()) {
    const auto [c, begin] = last_of(text);
    if (!has_any(c, kRegexSpace)) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

std::size_t leading_space(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p != end) {
    const char* next = p;
    if (!has_any(decode_utf8(next, end), kRegexSpace)) break;
    p = next;
  }
  return static_cast<std::size_t>(p - text.data());
}

Trie trie_of(const std::vector<std::string>& contents) {
  std::vector<Trie::Entry> entries;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    if (!contents[i].empty()) entries.emplace_back(contents[i], static_cast<std::uint32_t>(i));
  }
  return Trie(std::move(entries));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens,
                                     const std::vector<std::string>& contents)
    : tokens_(std::move(tokens)), trie_(trie_of(contents)) {
  for (const std::string& content : contents) {
    if (!content.empty()) first_bytes_[static_cast<unsigned char>(content[0])] = true;
  }
}

bool AddedTokenMatcher::takes_space_before() const {
  return std::ranges::any_of(tokens_, [](const AddedToken& token) { return token.lstrip; });
}

void AddedTokenMatcher::split(std::string_view text, std::vector<Piece>& pieces) const {
  pieces.clear();
  std::size_t done = 0;       // everything before is in `pieces`
  std::size_t space_end = 0;  // end of the white space that rstrip walked over last: no text makes
                              // it walk there again and again
  const char* const end = text.data() + text.size();
  for (std::size_t at = 0; at < text.size();) {
    const bool possible = first_bytes_[static_cast<unsigned char>(text[at])];
    const Trie::Match match =
        possible ? trie_.longest_prefix(text.data() + at, end) : Trie::Match{};
    if (match.length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[match.value];
    std::size_t begin = at;
    std::size_t stop = at + match.length;
    // The search goes on behind the match even where a flag discards it or rstrip widens it: so
    // does Hugging Face's, which filters the matches of an automaton.
    at = stop;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(stop)))) {
      continue;
    }
    if (token.lstrip) {
      // What lies before `done` is given away already.
      begin = begin <= done ? done : done + without_trailing_space(text.substr(done, begin - done));
    }
    if (token.rstrip) {
      if (stop >= space_end) space_end = stop + leading_space(text.substr(stop));
      stop = space_end;
    }
    if (done < begin) pieces.push_back({text.substr(done, begin - done)});
    if (begin < stop) pieces.push_back({text.substr(begin, stop - begin), token.id});
    done = stop;
  }
  if (done < text.size()) pieces.push_back({text.substr(done)});
}

}  // namespace vecsmith
