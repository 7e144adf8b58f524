#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace vecsmith {

/// Working memory that calls borrow, one piece a call, and that is kept for the next call.
///
/// Any number of threads may borrow at once. A lock that cannot be had at once is not waited for:
/// after a fork its holder may not exist, and new memory costs less than a millisecond.
template <typename Scratch>
class ScratchPool {
 public:
  class Lease {
   public:
    Lease(ScratchPool& pool, std::unique_ptr<Scratch> scratch)
        : pool_(pool), scratch_(std::move(scratch)) {}
    ~Lease() {
      scratch_->trim();
      const std::unique_lock lock(pool_.lock_, std::try_to_lock);
      if (lock) pool_.idle_.push_back(std::move(scratch_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Scratch& operator*() const { return *scratch_; }
    Scratch* operator->() const { return scratch_.get(); }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  /// Borrows idle memory, or what `make()` gives where there is none. Scratch::trim() is called
  /// when it is given back: one very long text must not hold memory for ever.
  template <typename Make>
  Lease borrow(Make make) {
    std::unique_ptr<Scratch> scratch;
    {
      const std::unique_lock lock(lock_, std::try_to_lock);
      if (lock && !idle_.empty()) {
        scratch = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (!scratch) scratch = make();
    return {*this, std::move(scratch)};
  }

 private:
  std::mutex lock_;
  std::vector<std::unique_ptr<Scratch>> idle_;
};

}  // namespace vecsmith
