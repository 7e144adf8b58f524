#include "vecsmith/wordpiece.hpp"

#include <algorithm>
#include <stdexcept>

namespace vecsmith {

namespace {

Trie trie_of_words(const WordPieceSettings& settings) {
  std::vector<Trie::Entry> entries;
  entries.reserve(settings.tokens.size());
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    if (!settings.tokens[i].empty()) entries.emplace_back(settings.tokens[i], settings.ids[i]);
  }
  return Trie(std::move(entries));
}

Trie trie_of_continuations(const WordPieceSettings& settings) {
  const std::string_view prefix = settings.continuing_subword_prefix;
  std::vector<Trie::Entry> entries;
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    const std::string_view token = settings.tokens[i];
    if (token.size() > prefix.size() && token.starts_with(prefix)) {
      entries.emplace_back(token.substr(prefix.size()), settings.ids[i]);
    }
  }
  return Trie(std::move(entries));
}

const WordPieceSettings& checked(const WordPieceSettings& settings) {
  if (settings.tokens.size() != settings.ids.size()) {
    throw std::invalid_argument(std::to_string(settings.tokens.size()) + " tokens but " +
                                std::to_string(settings.ids.size()) + " ids");
  }
  return settings;
}

}  // namespace

WordPiece::WordPiece(const WordPieceSettings& settings)
    : words_(trie_of_words(checked(settings))),
      continuations_(trie_of_continuations(settings)),
      unk_id_(settings.unk_id),
      max_id_(settings.unk_id),
      max_chars_(settings.max_input_chars_per_word) {
  for (const std::uint32_t id : settings.ids) max_id_ = std::max(max_id_, id);
}

void WordPiece::append(std::string_view word, std::size_t n_chars, IdBuffer& ids) const {
  if (n_chars > max_chars_) {
    ids.push_back(unk_id_);
    return;
  }
  // Every piece has a byte at least.
  ids.reserve_more(word.size());
  std::uint32_t* const first = ids.data() + ids.size();
  std::uint32_t* out = first;
  const char* p = word.data();
  const char* const end = p + word.size();
  const Trie* trie = &words_;
  while (p != end) {
    // Vocabulary entries end where characters end, so the longest byte match is the longest
    // character match.
    const Trie::Match match = trie->longest_prefix(p, end);
    if (match.length == 0) {
      *first = unk_id_;
      out = first + 1;
      break;
    }
    *out++ = match.value;
    p += match.length;
    trie = &continuations_;
  }
  ids.set_size(ids.size() + static_cast<std::size_t>(out - first));
}

}  // namespace vecsmith
