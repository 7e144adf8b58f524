#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernels.hpp"
#include "plain_path.hpp"
#include "vecsmith/ids.hpp"
#include "vecsmith/tokenizer.hpp"

namespace vecsmith {

/// A faster way to the ids that PlainPath gives, for the tokenizers it knows.
///
/// Any number of threads may use one at once, also in a forked child.
class FastPath {
 public:
  FastPath() = default;
  virtual ~FastPath() = default;
  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;

  /// Appends the ids of `texts` to `ids`, and to `ends` the size of `ids` after each text.
  virtual void encode(std::span<const std::string_view> texts, Truncation truncation, IdBuffer& ids,
                      std::vector<std::size_t>& ends) const = 0;
};

/// The path of one kind of tokenizer, or null for all others. `plain` must outlive it.
std::unique_ptr<FastPath> make_word_path(const TokenizerSettings& settings, const PlainPath& plain,
                                         const kernels::Kernels& kernels);
std::unique_ptr<FastPath> make_space_path(const TokenizerSettings& settings, const PlainPath& plain,
                                          const kernels::Kernels& kernels);
std::unique_ptr<FastPath> make_byte_path(const TokenizerSettings& settings, const PlainPath& plain,
                                         CpuLevel level);

/// The ids of texts, one text after another: cuts each to its length and keeps where it ends.
class TextIds {
 public:
  /// `reads_all`: what follows may take back ids, as an added token does that takes the white space
  /// before it.
  TextIds(Truncation truncation, IdBuffer& ids, std::vector<std::size_t>& ends,
          bool reads_all = false)
      : truncation_(truncation),
        ids_(ids),
        ends_(ends),
        begin_(ids.size()),
        reads_all_(reads_all || truncation.keep_end) {}

  /// Ends the current text.
  void finish() {
    const std::size_t count = ids_.size() - begin_;
    if (count > truncation_.max_length) {
      const std::size_t dropped = count - truncation_.max_length;
      std::uint32_t* const first = ids_.data() + begin_;
      if (truncation_.keep_end) std::copy(first + dropped, first + count, first);
      ids_.set_size(ids_.size() - dropped);
    }
    begin_ = ids_.size();
    ends_.push_back(begin_);
    ++n_finished_;
  }

  /// Takes back what the current text has given so far.
  void restart() { ids_.set_size(begin_); }

  /// Size of the ids at which the rest of the current text no longer counts.
  std::size_t enough() const {
    const bool all = reads_all_ || truncation_.max_length > Truncation::kAll - begin_;
    return all ? Truncation::kAll : begin_ + truncation_.max_length;
  }

  std::size_t n_finished() const { return n_finished_; }

 private:
  Truncation truncation_;
  IdBuffer& ids_;
  std::vector<std::size_t>& ends_;
  std::size_t begin_;  // size of `ids_` when the current text began
  bool reads_all_;
  std::size_t n_finished_ = 0;
};

}  // namespace vecsmith
