#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace vecsmith {

/// Working memory that calls borrow, one piece a call, and that is kept for the next call.
///
/// Any number of threads may borrow at once, also in a forked child: there is no lock whose holder
/// may not exist there. About as many pieces stay idle as were borrowed at once, kMostIdle at most.
template <typename Scratch>
class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    ~Lease() {
      scratch_->trim();
      for (std::atomic<Scratch*>& place : pool_.idle_) {
        Scratch* expected = nullptr;
        if (place.load(std::memory_order_relaxed) == nullptr &&
            place.compare_exchange_strong(expected, scratch_.get())) {
          static_cast<void>(scratch_.release());
          return;
        }
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Scratch& operator*() const { return *scratch_; }
    Scratch* operator->() const { return scratch_.get(); }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  static constexpr std::size_t kMostIdle = 64;

  ScratchPool() = default;
  ~ScratchPool() {
    for (std::atomic<Scratch*>& place : idle_) std::unique_ptr<Scratch>(place.load()).reset();
  }
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  /// Borrows idle memory, or what `make()` gives where there is none. Scratch::trim() is called
  /// when it is given back: one very long text must not hold memory for ever.
  template <typename Make>
  Lease borrow(Make make) {
    std::unique_ptr<Scratch> scratch;
    for (std::atomic<Scratch*>& place : idle_) {
      if (place.load(std::memory_order_relaxed) == nullptr) continue;
      scratch.reset(place.exchange(nullptr));
      if (scratch) break;
    }
    if (!scratch) scratch = make();
    return {*this, std::move(scratch)};
  }

 private:
  std::array<std::atomic<Scratch*>, kMostIdle> idle_{};
};

}  // namespace vecsmith
