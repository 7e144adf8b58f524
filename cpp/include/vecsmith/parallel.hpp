#pragma once

#include <cstddef>
#include <functional>

namespace vecsmith {

/// Calls `work(begin, end)` on slices of [0, n_items) of `slice` items, on up to `n_threads`
/// threads that take slices as they become free; the caller is one of them.
///
/// The first exception thrown by `work` is rethrown here once every thread has stopped. Threads
/// live for one call only, so a forked child starts clean.
void parallel_for(std::size_t n_items, std::size_t slice, std::size_t n_threads,
                  const std::function<void(std::size_t begin, std::size_t end)>& work);

}  // namespace vecsmith
