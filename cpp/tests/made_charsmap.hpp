// Character maps made of keys and texts, and what the library does with them, written down plainly.

#ifndef VECSMITH_TESTS_MADE_CHARSMAP_HPP_
#define VECSMITH_TESTS_MADE_CHARSMAP_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graphemes.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith::testing {

using Replacements = std::map<std::string, std::string>;

inline void append_u32(std::string& out, std::uint32_t number) {
  for (unsigned i = 0; i < 4; ++i) out.push_back(static_cast<char>(number >> 8U * i & 0xFFU));
}

// The bytes of a map with this double array.
inline std::string charsmap_of(const std::vector<std::uint32_t>& units, std::string_view texts) {
  std::string out;
  append_u32(out, static_cast<std::uint32_t>(4 * units.size()));
  for (const std::uint32_t unit : units) append_u32(out, unit);
  return out.append(texts);
}

// The double array of a map as it grows: every node has a block of 256 units for its children.
class MadeCharsmap {
 public:
  explicit MadeCharsmap(const Replacements& replacements) : units_(512) {
    connect(0, 256);
    for (const auto& [key, text] : replacements) {
      if (!key.empty()) add(key, text);
    }
  }

  const std::vector<std::uint32_t>& units() const { return units_; }
  const std::string& texts() const { return texts_; }
  std::string bytes() const { return charsmap_of(units_, texts_); }

 private:
  static constexpr std::uint32_t kLeaf = 1U << 8U;

  void add(std::string_view key, std::string_view text) {
    std::size_t node = 0;
    for (const char c : key) {
      const std::size_t child = bases_[node] ^ static_cast<unsigned char>(c);
      if (!bases_.contains(child)) {
        units_[child] = static_cast<unsigned char>(c);
        connect(child, units_.size());
        units_.resize(units_.size() + 256);
      }
      node = child;
    }
    units_[node] |= kLeaf;
    units_[bases_[node]] = 1U << 31U | static_cast<std::uint32_t>(texts_.size());
    texts_.append(text).push_back('\0');
  }

  void connect(std::size_t node, std::size_t base) {
    const auto offset = static_cast<std::uint32_t>(node ^ base);
    // a large offset goes without its low eight bits, so a block begins where they do not matter
    units_[node] |= offset < 1U << 21U ? offset << 10U : (offset >> 8U) << 10U | 1U << 9U;
    bases_[node] = offset < 1U << 21U ? base : node ^ (offset & ~0xFFU);
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
  std::map<std::size_t, std::size_t> bases_;
};

inline std::vector<char32_t> characters(std::string_view text) {
  std::vector<char32_t> all;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) all.push_back(decode_utf8(p, end));
  return all;
}

// The rules of Unicode Standard Annex 29 in their order, for the place before character `i`.
inline bool is_boundary(const std::vector<GraphemeClass>& text, std::size_t i) {
  using enum GraphemeClass;
  if (i == 0 || i == text.size()) return true;
  const GraphemeClass before = text[i - 1];
  const GraphemeClass after = text[i];
  const auto is_control = [](GraphemeClass c) {
    return c == kControl || c == kCarriageReturn || c == kLineFeed;
  };
  const auto extends = [](GraphemeClass c) {
    return c == kExtend || c == kConjunctExtend || c == kLinker;
  };
  if (before == kCarriageReturn && after == kLineFeed) return false;
  if (is_control(before) || is_control(after)) return true;
  if (before == kLeading && (after == kLeading || after == kVowel || after == kOpenSyllable ||
                             after == kClosedSyllable)) {
    return false;
  }
  if ((before == kOpenSyllable || before == kVowel) && (after == kVowel || after == kTrailing)) {
    return false;
  }
  if ((before == kClosedSyllable || before == kTrailing) && after == kTrailing) return false;
  if (extends(after) || after == kJoiner || after == kSpacingMark || before == kPrepend) {
    return false;
  }
  if (after == kConsonant) {
    bool linked = false;
    std::size_t j = i;
    for (; j > 0; --j) {
      const GraphemeClass c = text[j - 1];
      if (c != kConjunctExtend && c != kLinker && c != kJoiner) break;
      linked |= c == kLinker;
    }
    return !(linked && j > 0 && text[j - 1] == kConsonant);
  }
  if (after == kPictograph && before == kJoiner) {
    std::size_t j = i - 1;
    while (j > 0 && extends(text[j - 1])) --j;
    return !(j > 0 && text[j - 1] == kPictograph);
  }
  return true;
}

inline std::vector<GraphemeClass> classes_of(const std::vector<char32_t>& text) {
  std::vector<GraphemeClass> classes;
  for (const char32_t c : text) classes.push_back(grapheme_class(c));
  return classes;
}

// The text for the shortest key that `chunk` begins with, null for none. A NUL ends the search.
inline const std::string* shortest_match(const Replacements& replacements, std::string_view chunk) {
  for (std::size_t n = 1; n <= chunk.size() && chunk[n - 1] != '\0'; ++n) {
    const auto found = replacements.find(std::string(chunk.substr(0, n)));
    if (found != replacements.end()) return &found->second;
  }
  return nullptr;
}

inline std::string mapped_plainly(const Replacements& replacements, std::string_view text) {
  const std::vector<char32_t> all = characters(text);
  const std::vector<GraphemeClass> classes = classes_of(all);
  std::string out;
  std::string cluster;
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::string part;
    append_utf8(part, all[i]);
    cluster += part;
    parts.push_back(part);
    if (!is_boundary(classes, i + 1)) continue;
    const std::string* whole = cluster.size() < 6 ? shortest_match(replacements, cluster) : nullptr;
    if (whole != nullptr) {
      out += *whole;
    } else {
      for (const std::string& one : parts) {
        const std::string* match = shortest_match(replacements, one);
        out += match != nullptr ? *match : one;
      }
    }
    cluster.clear();
    parts.clear();
  }
  return out;
}

}  // namespace vecsmith::testing

#endif  // VECSMITH_TESTS_MADE_CHARSMAP_HPP_
