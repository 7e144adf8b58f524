#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vecsmith/pattern.hpp"

namespace vecsmith {

/// The steps of Hugging Face's pre-tokenizers, by its own names.
namespace splitters {

/// What becomes of a delimiter.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Bert {};
struct Whitespace {};
struct WhitespaceSplit {};
struct Punctuation {
  Behavior behavior = Behavior::kIsolated;
};
struct Digits {
  bool individual_digits = false;
};
struct Delimiter {  ///< CharDelimiterSplit
  char32_t delimiter = U' ';
};
struct Split {
  Pattern pattern;
  Behavior behavior = Behavior::kIsolated;
  bool invert = false;
};
/// The last step there is. Words stay the bytes of the text: models of byte-level tokenizers know
/// their vocabulary as bytes too, so the detour over printable characters is left out.
struct ByteLevel {
  bool add_prefix_space = true;
  bool use_regex = true;
};
struct Metaspace {
  enum class Prepend { kAlways, kFirst, kNever };
  char32_t replacement = U'\u2581';
  Prepend prepend = Prepend::kAlways;
  bool split = true;
};

}  // namespace splitters

using SplitterStep =
    std::variant<splitters::Bert, splitters::Whitespace, splitters::WhitespaceSplit,
                 splitters::Punctuation, splitters::Digits, splitters::Delimiter, splitters::Split,
                 splitters::ByteLevel, splitters::Metaspace>;

/// Steps in the order they are taken; none leaves a text as one word.
using SplitterSettings = std::vector<SplitterStep>;

/// Words of a text: their bytes one after another, and where each ends.
struct Words {
  std::string bytes;
  std::vector<std::size_t> ends;

  void clear() {
    bytes.clear();
    ends.clear();
  }
  std::size_t size() const { return ends.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
};

/// Normalised text -> words, as Hugging Face's pre-tokenizers cut it one after another.
class Splitter {
 public:
  /// Throws std::invalid_argument for steps that cannot be: something behind ByteLevel, a second
  /// Metaspace that asks where a text begins, a character that is none.
  explicit Splitter(SplitterSettings settings);

  /// Replaces `words` by those of `text`, none of them empty. `at_start` tells whether `text`
  /// begins where the whole input does: Metaspace may ask. Behind another step it takes the piece
  /// that begins `text` for the first, which the library does too as long as no normalizer has
  /// moved characters.
  void split(std::string_view text, bool at_start, Words& words) const;

  const SplitterSettings& settings() const { return settings_; }

 private:
  struct Plan;

  SplitterSettings settings_;
  std::shared_ptr<const Plan> plan_;  // the settings, looked up and compiled
};

}  // namespace vecsmith
