// Working memory that calls borrow.

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random_text.hpp"
#include "scratch_pool.hpp"

namespace {

using namespace vecsmith;

std::atomic<int> n_alive{0};
std::atomic<int> n_trims{0};

struct Piece {
  Piece() { ++n_alive; }
  ~Piece() { --n_alive; }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  void trim() { ++n_trims; }

  std::atomic<int> n_users{0};
};

using Pool = ScratchPool<Piece>;

Pool::Lease borrow(Pool& pool) {
  return pool.borrow([] { return std::make_unique<Piece>(); });
}

TEST_CASE(a_piece_is_trimmed_and_borrowed_again) {
  Pool pool;
  const int trims = n_trims;
  const Piece* const first = &*borrow(pool);
  CHECK_EQ(n_trims.load(), trims + 1);
  CHECK(&*borrow(pool) == first);
  CHECK_EQ(n_alive.load(), 1);
}

TEST_CASE(two_at_once_get_two_pieces_and_both_are_kept) {
  Pool pool;
  for (int round = 0; round < 3; ++round) {
    const auto a = borrow(pool);
    const auto b = borrow(pool);
    CHECK(&*a != &*b);
    CHECK_EQ(n_alive.load(), 2);
  }
}

TEST_CASE(of_more_pieces_than_there_are_places_the_rest_are_freed) {
  {
    Pool pool;
    {
      std::vector<std::unique_ptr<Pool::Lease>> leases;
      for (std::size_t i = 0; i < Pool::kMostIdle + 10; ++i) {
        leases.emplace_back(new Pool::Lease(pool, std::make_unique<Piece>()));
      }
    }
    CHECK_EQ(n_alive.load(), static_cast<int>(Pool::kMostIdle));
  }
  CHECK_EQ(n_alive.load(), 0);
}

TEST_CASE(threads_never_share_a_piece_nor_leave_more_than_there_are_places) {
  constexpr int kThreads = 8;
  Pool pool;
  std::atomic<bool> shared{false};
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (std::size_t i = 0; i < testing::rounds(20'000); ++i) {
          const auto piece = borrow(pool);
          if (piece->n_users.fetch_add(1) != 0) shared = true;
          piece->n_users.fetch_sub(1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(!shared);
  CHECK(n_alive.load() <= static_cast<int>(Pool::kMostIdle));
}

}  // namespace
