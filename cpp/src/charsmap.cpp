// Nearly all characters of nearly all texts stay as they are, so the scan looks for those that
// may not: one look at a table for each character, sixteen at a time for printable ASCII. Clusters
// are only computed around what it finds.

#include "vecsmith/charsmap.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "graphemes.hpp"
#include "text_checks.hpp"
#include "vecsmith/unicode.hpp"

namespace vecsmith {

namespace {

using grapheme_detail::kPageBits;
using grapheme_detail::kPageSize;

// An entry is a GraphemeClass and these bits.
constexpr std::uint8_t kClassMask = 0x1F;
constexpr std::uint8_t kReplaced = 0x20;  // a key is a prefix of it, or it is one
constexpr std::uint8_t kBegins = 0x40;    // it is a proper prefix of a key that a cluster can match

// The entry of something that nothing joins.
constexpr auto kNothing = static_cast<std::uint8_t>(GraphemeClass::kControl);

constexpr GraphemeClass class_of(std::uint8_t entry) {
  return static_cast<GraphemeClass>(entry & kClassMask);
}

// A cluster that is looked up whole has fewer bytes than this.
constexpr std::size_t kLongCluster = 6;
constexpr std::size_t kLongestKey = kLongCluster - 1;

constexpr char32_t kIllFormed = 0xFFFFFFFFU;

// A unit of the double array, as Darts (Yata, "darts-clone") lays it out.
constexpr bool has_leaf(std::uint32_t unit) { return (unit >> 8U & 1U) != 0; }
constexpr std::uint32_t label(std::uint32_t unit) { return unit & 0x800000FFU; }
constexpr std::size_t value(std::uint32_t unit) { return unit & 0x7FFFFFFFU; }
constexpr std::size_t offset(std::uint32_t unit) {
  return std::size_t{unit >> 10U} << ((unit & 0x200U) >> 6U);
}

constexpr unsigned byte(char c) { return static_cast<unsigned char>(c); }

// The well-formed character of several bytes at `p`, behind which it moves `p`; or kIllFormed.
inline char32_t decode_long(const char*& p, const char* end) {
  const auto more = [&p](std::ptrdiff_t i) { return byte(p[i]) ^ 0x80U; };  // < 0x40 if it is one
  const unsigned lead = byte(*p);
  if (lead < 0xE0) {
    if (lead < 0xC2 || end - p < 2 || more(1) > 0x3F) return kIllFormed;
    const char32_t c = (lead & 0x1FU) << 6U | more(1);
    p += 2;
    return c;
  }
  if (lead < 0xF0) {
    if (end - p < 3 || (more(1) | more(2)) > 0x3F) return kIllFormed;
    const char32_t c = (lead & 0x0FU) << 12U | more(1) << 6U | more(2);
    if (c < 0x800 || c - 0xD800U < 0x800U) return kIllFormed;
    p += 3;
    return c;
  }
  if (lead > 0xF4 || end - p < 4 || (more(1) | more(2) | more(3)) > 0x3F) return kIllFormed;
  const char32_t c = (lead & 0x07U) << 18U | more(1) << 12U | more(2) << 6U | more(3);
  if (c < 0x10000 || c > kMaxCodePoint) return kIllFormed;
  p += 4;
  return c;
}

// The same for a character of any length.
inline char32_t decode(const char*& p, const char* end) {
  return byte(*p) < 0x80 ? char32_t{byte(*p++)} : decode_long(p, end);
}

std::string with_replacement_characters(std::string_view text) {
  std::string out;
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p != end;) append_utf8(out, decode_utf8(p, end));
  return out;
}

constexpr bool is_printable(char c) { return byte(c) - 0x20U < 0x5FU; }

// End of the printable ASCII characters that begin at `p`.
const char* skip_printable(const char* p, const char* end) {
  constexpr std::ptrdiff_t kBlock = 16;
  while (end - p >= kBlock) {
    unsigned odd = 0;
    for (std::ptrdiff_t i = 0; i < kBlock; ++i) odd |= is_printable(p[i]) ? 0U : 1U;
    if (odd != 0) break;
    p += kBlock;
  }
  while (p != end && is_printable(*p)) ++p;
  return p;
}

// For an entry without kReplaced, the classes that may go on in the cluster of such a character if
// a longer key begins with it; a bit for each. A table, because a branch would be hard to foresee.
constexpr std::array<std::uint32_t, 128> kWatched = [] {
  std::array<std::uint32_t, 128> all{};
  for (std::size_t i = 0; i < kGraphemeClasses; ++i) {
    all[kBegins | i] = grapheme_followers(static_cast<GraphemeClass>(i));
  }
  return all;
}();

GraphemeClass class_at(const char* p, const char* end) {
  return grapheme_class(decode_utf8(p, end));
}

// The boundary nearest to the character at `p`, behind which none is sought; `floor` is one.
const char* cluster_begin(const char* floor, const char* p, const char* end) {
  GraphemeClass here = class_at(p, end);
  while (p != floor) {
    const char* before = p - 1;
    while (is_continuation(*before)) --before;
    const GraphemeClass last = class_at(before, end);
    if (!may_join(last, here)) break;
    here = last;
    p = before;
  }
  return p;
}

// Of the clusters from the boundary `begin` on the first that reaches beyond `at`; empty where the
// text is ill formed before its end. One pass over all of them, because a run of characters that
// may join, in pairs, can be as long as the text and yet be many clusters: a caller that came back
// for each of them would look for their common beginning as often.
std::string_view cluster_beyond(const char* at, const char* begin, const char* end) {
  const char* p = begin;
  GraphemeCluster cluster(grapheme_class(decode_utf8(p, end)));
  while (p != end) {
    const char* next = p;
    const char32_t c = decode(next, end);
    if (c == kIllFormed) return {};
    const GraphemeClass here = grapheme_class(c);
    if (!cluster.add(here)) {
      if (p > at) break;
      begin = p;
      cluster = GraphemeCluster(here);
    }
    p = next;
  }
  return {begin, p};
}

std::uint32_t read_u32(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = 4; i-- > 0;) number = number << 8U | byte(bytes[i]);
  return number;
}

}  // namespace

// Looks at all that the library may meet on the way to a match, and tells what each character is
// to the map. A key is walked for five bytes at most.
class Charsmap::Survey {
 public:
  explicit Survey(Charsmap& map) : map_(map), number_of_(map.units_.size()) {
    using namespace grapheme_detail;
    map_.page_of_.assign(kPageOf, kPageOf + kPages);
    map_.entries_.assign(kClassOf, kClassOf + kStoredPages * kPageSize);
  }

  void run() {
    find_bases();
    find_distances();
    mark_characters();
  }

 private:
  static constexpr std::size_t kNever = kLongCluster;

  // Where the children of a node begin, if the bytes up to there can be walked.
  struct Base {
    std::size_t at;
    std::size_t bytes_to_leaf = kNever;
  };
  struct Edge {
    std::size_t parent, child;
  };
  // The first bytes of characters, all of one length.
  struct Prefix {
    std::size_t base;
    char32_t bits;
    unsigned bytes;
    unsigned missing;
  };

  void find_bases() {
    add_base(offset(map_.units_[0]));
    std::size_t begin = 0;
    for (std::size_t length = 1; length <= kLongestKey; ++length) {
      const std::size_t end = bases_.size();
      for (; begin != end; ++begin) add_children(begin, length);
    }
  }

  void add_children(std::size_t parent, std::size_t length) {
    for (std::uint32_t c = 1; c < 256; ++c) {
      const std::size_t node = bases_[parent].at ^ c;
      const std::uint32_t unit = map_.units_[node];
      if (label(unit) != c) continue;
      const std::size_t base = node ^ offset(unit);
      if (has_leaf(unit)) {
        check_text(base);
        bases_[parent].bytes_to_leaf = 1;
      }
      if (length < kLongestKey) edges_.push_back({parent, add_base(base)});
    }
  }

  std::size_t add_base(std::size_t at) {
    if ((at | 0xFFU) >= map_.units_.size()) {
      throw std::invalid_argument("the children of a node are expected at unit " +
                                  std::to_string(at) + " of a character map of " +
                                  std::to_string(map_.units_.size()) +
                                  " units: take the model file from its source again");
    }
    if (number_of_[at] == 0) {
      bases_.push_back({at});
      number_of_[at] = static_cast<std::uint32_t>(bases_.size());
    }
    return number_of_[at] - 1;
  }

  void check_text(std::size_t base) const {
    const std::string& texts = map_.texts_;
    const std::size_t begin =
        base < map_.units_.size() ? value(map_.units_[base]) : texts.size() + 1;
    if (begin > texts.size() || is_continuation(texts.c_str()[begin])) {
      throw std::invalid_argument("a replacement is expected at byte " + std::to_string(begin) +
                                  " of the " + std::to_string(texts.size()) +
                                  " bytes of a character map: take the model file from its source "
                                  "again");
    }
    const std::size_t size = std::min(texts.find('\0', begin), texts.size()) - begin;
    if (size > kMaxReplacement) {
      throw std::invalid_argument("a character map with a replacement of " + std::to_string(size) +
                                  " bytes is not supported, at most " +
                                  std::to_string(kMaxReplacement) + " are");
    }
  }

  // One more byte of the way to the nearest leaf becomes known with each round.
  void find_distances() {
    for (std::size_t round = 1; round < kLongestKey; ++round) {
      for (const Edge& edge : edges_) {
        Base& parent = bases_[edge.parent];
        parent.bytes_to_leaf = std::min(parent.bytes_to_leaf, bases_[edge.child].bytes_to_leaf + 1);
      }
    }
  }

  void mark_characters() {
    std::vector<Prefix> open;
    const std::size_t root = offset(map_.units_[0]);
    for (unsigned c = 1; c < 0x80; ++c) extend({root, 0, 0, 1}, c, c, open);
    for (unsigned c = 0xC2; c < 0xE0; ++c) extend({root, 0, 0, 2}, c, c & 0x1FU, open);
    for (unsigned c = 0xE0; c < 0xF0; ++c) extend({root, 0, 0, 3}, c, c & 0x0FU, open);
    for (unsigned c = 0xF0; c < 0xF5; ++c) extend({root, 0, 0, 4}, c, c & 0x07U, open);
    while (!open.empty()) {
      const Prefix prefix = open.back();
      open.pop_back();
      for (unsigned c = 0x80; c < 0xC0; ++c) extend(prefix, c, c & 0x3FU, open);
    }
  }

  // Marks what begins with `prefix` and byte `c`, or leaves it to be continued.
  void extend(Prefix prefix, unsigned c, unsigned bits, std::vector<Prefix>& open) {
    const std::size_t node = prefix.base ^ c;
    const std::uint32_t unit = map_.units_[node];
    if (label(unit) != c) return;
    prefix = {node ^ offset(unit), prefix.bits << 6U | bits, prefix.bytes + 1, prefix.missing - 1};
    if (has_leaf(unit)) {
      mark(prefix, kReplaced);
    } else if (prefix.missing > 0) {
      open.push_back(prefix);
    } else if (prefix.bytes + bases_[number_of_[prefix.base] - 1].bytes_to_leaf <= kLongestKey) {
      mark(prefix, kBegins);
    }
  }

  void mark(const Prefix& prefix, std::uint8_t what) {
    // The least code point of each length: what is shorter is no well-formed character.
    static constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
    const char32_t begin = prefix.bits << 6U * prefix.missing;
    const char32_t last =
        std::min<char32_t>(begin + (char32_t{1} << 6U * prefix.missing) - 1, kMaxCodePoint);
    for (char32_t c = std::max(begin, kLeast[prefix.bytes + prefix.missing]); c <= last; ++c) {
      own_page(c);
      map_.entries_[map_.page_of_[c >> kPageBits] * std::size_t{kPageSize} +
                    (c & (kPageSize - 1))] |= what;
    }
  }

  // Gives the page of `c` a copy of its own, if it is still one of those that maps share.
  void own_page(char32_t c) {
    std::uint16_t& page = map_.page_of_[c >> kPageBits];
    if (page >= grapheme_detail::kStoredPages) return;
    const auto own = static_cast<std::uint16_t>(map_.entries_.size() / kPageSize);
    map_.entries_.resize(map_.entries_.size() + kPageSize);
    std::copy_n(map_.entries_.data() + page * std::size_t{kPageSize}, kPageSize,
                map_.entries_.data() + own * std::size_t{kPageSize});
    page = own;
  }

  Charsmap& map_;
  std::vector<Base> bases_;
  std::vector<Edge> edges_;
  std::vector<std::uint32_t> number_of_;  // for each unit: 1 + its place in bases_, 0 for none
};

Charsmap::Charsmap(std::string_view bytes) {
  const std::size_t n_units = bytes.size() < 4 ? 0 : read_u32(bytes) / 4;
  if (n_units == 0 || n_units > (bytes.size() - 4) / 4 || bytes.size() > kMaxBytes) {
    throw std::invalid_argument(
        "a character map of " + std::to_string(bytes.size()) + " bytes, of which " +
        std::to_string(n_units) +
        " units of four are said to be its double array, is not supported: expected one unit at "
        "least, all of them within the map, and at most " +
        std::to_string(kMaxBytes) + " bytes");
  }
  units_.resize(n_units);
  for (std::size_t i = 0; i < n_units; ++i) units_[i] = read_u32(bytes.substr(4 + 4 * i, 4));
  texts_ = bytes.substr(4 + 4 * n_units);
  if (!is_well_formed(texts_)) {
    throw std::invalid_argument(
        "the replacements of a character map are not well-formed UTF-8: take the model file from "
        "its source again");
  }
  Survey(*this).run();
  for (char32_t c = 0x20; c < 0x7F; ++c) {
    if ((entry(c) & kReplaced) != 0) keeps_printable_ = false;
  }
}

void Charsmap::append(std::string_view text, std::string& out) const {
  const std::size_t before = out.size();
  if (append_well_formed(text, out)) return;
  out.resize(before);
  append_well_formed(with_replacement_characters(text), out);
}

bool Charsmap::is_unchanged(std::string_view text) const {
  const char* const end = text.data() + text.size();
  const Change change = next_change(text.data(), end);
  return change.well_formed && change.at == end;
}

std::uint8_t Charsmap::entry(char32_t c) const {
  return entries_[page_of_[c >> kPageBits] * std::size_t{kPageSize} + (c & (kPageSize - 1))];
}

// Returns false when the text turns out to be ill formed; then what was appended is of no use.
bool Charsmap::append_well_formed(std::string_view text, std::string& out) const {
  const char* copied = text.data();
  const char* const end = copied + text.size();
  while (true) {
    const Change change = next_change(copied, end);
    if (!change.well_formed) return false;
    if (change.at == end) break;
    const char* const begin = change.joined ? cluster_begin(copied, change.at, end) : change.at;
    const std::string_view cluster = cluster_beyond(change.at, begin, end);
    if (cluster.empty()) return false;
    out.append(copied, cluster.data());
    append_cluster(cluster, out);
    copied = cluster.data() + cluster.size();
  }
  out.append(copied, end);
  return true;
}

// The first character, from the boundary `p` on, that may belong to a cluster that changes.
Charsmap::Change Charsmap::next_change(const char* p, const char* end) const {
  const std::uint8_t* const entries = entries_.data();
  const std::uint16_t* const page_of = page_of_.data();
  const std::uint8_t* const ascii = entries + page_of[0] * std::size_t{kPageSize};
  const bool keeps_printable = keeps_printable_;
  std::uint8_t last = kNothing;  // the entry of the character before `p`
  while (p != end) {
    const char* next = p;
    std::uint8_t found = 0;
    if (byte(*p) < 0x80) {
      found = ascii[byte(*next++)];
    } else {
      const char32_t c = decode_long(next, end);
      if (c == kIllFormed) return {p, false, false};
      found = entries[page_of[c >> kPageBits] * std::size_t{kPageSize} + (c & (kPageSize - 1))];
    }
    if (((found & kReplaced) | (kWatched[last] >> (found & kClassMask) & 1U)) != 0) {
      return {p, may_join(class_of(last), class_of(found)), true};
    }
    last = found;
    if (keeps_printable && byte(*p) < 0x80 && next != end && is_printable(*next)) {
      next = skip_printable(next, end);
      last = ascii[byte(next[-1])];
    }
    p = next;
  }
  return {end, false, true};
}

void Charsmap::append_cluster(std::string_view cluster, std::string& out) const {
  if (cluster.size() < kLongCluster && append_match(cluster, out)) return;
  const char* const end = cluster.data() + cluster.size();
  for (const char* p = cluster.data(); p != end;) {
    const char* const begin = p;
    const char32_t c = decode_utf8(p, end);
    const std::string_view bytes(begin, static_cast<std::size_t>(p - begin));
    if ((entry(c) & kReplaced) == 0 || !append_match(bytes, out)) out += bytes;
  }
}

// Appends the text for the shortest key that `chunk` begins with, and returns whether there is one.
// The survey has seen every unit on the way. No chunk has a NUL, which is a cluster of its own and
// never marked.
bool Charsmap::append_match(std::string_view chunk, std::string& out) const {
  const std::uint32_t* const units = units_.data();
  std::size_t base = offset(units[0]);
  for (const char c : chunk) {
    const std::size_t node = base ^ byte(c);
    const std::uint32_t unit = units[node];
    if (label(unit) != byte(c)) return false;
    base = node ^ offset(unit);
    if (has_leaf(unit)) {
      out += texts_.c_str() + value(units[base]);
      return true;
    }
  }
  return false;
}

}  // namespace vecsmith
