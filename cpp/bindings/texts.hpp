#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

/// UTF-8 views of a run of texts, and what keeps their bytes alive.
///
/// Made with the interpreter locked; the views stay valid without the lock as long as this lives.
class Texts {
 public:
  template <typename T, std::size_t kDims = 1>
  using Array =
      nanobind::ndarray<const T, nanobind::ndim<kDims>, nanobind::c_contig, nanobind::device::cpu>;
  using Bytes = Array<std::uint8_t>;

  /// One text alone.
  explicit Texts(nanobind::handle text);

  /// Items [begin, end) of a list of str. The caller must own the list: nobody else may change it.
  Texts(const nanobind::list& list, std::size_t begin, std::size_t end);

  /// One text for each pair of neighbouring offsets into `bytes`, as Arrow's `string` (32 bits) and
  /// `large_string` (64) keep them. Throws std::out_of_range where one points nowhere.
  template <typename Offset>
  Texts(const Bytes& bytes, const Array<Offset>& offsets);

  /// One text for each 16 bytes of `views` [N, 16], as Arrow's `string_view` keeps them: a short
  /// text itself, or where in which of the `buffers` it is. Throws std::out_of_range likewise.
  Texts(const Array<std::uint8_t, 2>& views, const std::vector<Bytes>& buffers);

  std::span<const std::string_view> views() const { return views_; }

 private:
  // UTF-8 of strings that are not ASCII, in blocks that never move. A thread keeps one of them for
  // its next texts.
  class Copies {
   public:
    Copies() = default;
    ~Copies();
    Copies(const Copies&) = delete;
    Copies& operator=(const Copies&) = delete;

    // Where `n` bytes may be written, until the next call.
    char* reserve(std::size_t n);
    // Keeps the first `n` of them.
    void take(std::size_t n) {
      next_ += n;
      room_ -= n;
    }

   private:
    static constexpr std::size_t kBlock = std::size_t{1} << 20;
    static std::unique_ptr<char[]>& spare();

    std::vector<std::unique_ptr<char[]>> blocks_;
    char* next_ = nullptr;
    std::size_t room_ = 0;
  };

  void add(nanobind::handle text, std::size_t place);

  std::vector<std::string_view> views_;
  Copies copies_;
};
