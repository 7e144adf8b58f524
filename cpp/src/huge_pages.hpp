#pragma once

#include <cstddef>
#include <cstdlib>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace vecsmith {

/// Memory on huge pages where the system has them: a table that is read at random has few places to
/// look up then. Free with std::free; null where there is none.
inline void* take_huge_pages(std::size_t n_bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t whole = (n_bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* const memory = std::aligned_alloc(kHugePage, whole);
#ifdef __linux__
  if (memory != nullptr) madvise(memory, whole, MADV_HUGEPAGE);  // advice: may be refused
#endif
  return memory;
}

}  // namespace vecsmith
