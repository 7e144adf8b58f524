#include "vecsmith/word_level.hpp"

#include <algorithm>
#include <stdexcept>

namespace vecsmith {

namespace {

Trie trie_of(const WordLevelSettings& settings) {
  if (settings.tokens.size() != settings.ids.size()) {
    throw std::invalid_argument(std::to_string(settings.tokens.size()) + " tokens but " +
                                std::to_string(settings.ids.size()) + " ids");
  }
  std::vector<Trie::Entry> entries;
  entries.reserve(settings.tokens.size());
  for (std::size_t i = 0; i < settings.tokens.size(); ++i) {
    if (!settings.tokens[i].empty()) entries.emplace_back(settings.tokens[i], settings.ids[i]);
  }
  return Trie(std::move(entries));
}

}  // namespace

WordLevel::WordLevel(const WordLevelSettings& settings)
    : trie_(trie_of(settings)), unk_id_(settings.unk_id), max_id_(settings.unk_id) {
  for (const std::uint32_t id : settings.ids) max_id_ = std::max(max_id_, id);
}

void WordLevel::append(std::string_view word, IdBuffer& ids) const {
  if (word.empty()) return;
  const std::uint32_t id = trie_.find(word);
  ids.push_back(id == Trie::kNone ? unk_id_ : id);
}

}  // namespace vecsmith
