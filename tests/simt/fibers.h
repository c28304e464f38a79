// Stacks that are switched between within one thread, pooled; known to ASan.
#pragma once

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace braid::simt {

struct Fiber {
  boost::context::detail::fcontext_t context = nullptr;
  std::byte* stack = nullptr;  // its lowest address
  void* fake_stack = nullptr;  // ASan's
};

// Thread: its own. A fiber runs `work` again and again: each time it is taken from the pool and resumed, once.
class FiberPool {
 public:
  // `work` runs on a fiber; between its begin and end it may call Pause.
  explicit FiberPool(void (*work)()) : work_(work) {}
  ~FiberPool();

  Fiber* Take();
  void Give(Fiber* fiber) { free_.push_back(fiber); }
  // Runs the fiber until it pauses or its work is done. Called outside fibers.
  void Resume(Fiber* fiber);
  // Back to whom resumed the running fiber.
  void Pause();

 private:
  static void Enter(boost::context::detail::transfer_t from);
  void SwitchBack();

  void (*work_)();
  std::vector<Fiber*> all_, free_;
  Fiber* running_ = nullptr;
  boost::context::detail::fcontext_t outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
};

}  // namespace braid::simt
