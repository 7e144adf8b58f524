#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vecsmith {

/// A growing array of token ids that lets hot loops store a little past its end.
class IdBuffer {
 public:
  /// Entries past the end that a store may always touch.
  static constexpr std::size_t kSlack = 8;

  IdBuffer() : storage_(1024 + kSlack) {}

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return storage_.size(); }
  std::uint32_t* data() { return storage_.data(); }
  std::span<const std::uint32_t> slice(std::size_t begin, std::size_t end) const {
    return {storage_.data() + begin, end - begin};
  }

  /// Makes room for `extra` more entries (and the slack).
  void reserve_more(std::size_t extra) {
    const std::size_t need = size_ + extra + kSlack;
    if (need > storage_.size()) storage_.resize(need + need / 2);
  }

  void push_back(std::uint32_t id) {
    reserve_more(1);
    storage_[size_++] = id;
  }

  void append(std::span<const std::uint32_t> ids) {
    reserve_more(ids.size());
    std::copy(ids.begin(), ids.end(), storage_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += ids.size();
  }

  /// Gives the memory back; never fails.
  void release() noexcept {
    std::vector<std::uint32_t>().swap(storage_);
    size_ = 0;
  }

  /// Sets the number of entries, at most what was reserved.
  void set_size(std::size_t size) { size_ = size; }

 private:
  std::vector<std::uint32_t> storage_;
  std::size_t size_ = 0;
};

}  // namespace vecsmith
