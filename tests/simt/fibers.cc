#include "tests/simt/fibers.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace braid::simt {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 << 10;
void StartSwitch(void** save, const void* bottom, size_t size) { __sanitizer_start_switch_fiber(save, bottom, size); }
void FinishSwitch(void* fake, const void** bottom, size_t* size) { __sanitizer_finish_switch_fiber(fake, bottom, size); }
// A fiber is never returned from: what its frames poisoned would stay so for the next who maps these pages.
void ForgetFrames(std::byte* stack) { ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes); }
#else
constexpr size_t kStackBytes = 64 << 10;
void StartSwitch(void**, const void*, size_t) {}
void FinishSwitch(void*, const void**, size_t*) {}
void ForgetFrames(std::byte*) {}
#endif

constexpr size_t kGuardBytes = 4096;

}  // namespace

Fiber* FiberPool::Take() {
  if (!free_.empty()) {
    Fiber* const fiber = free_.back();
    free_.pop_back();
    return fiber;
  }
  void* const mapped =
      mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED || mprotect(mapped, kGuardBytes, PROT_NONE) != 0) {
    std::fprintf(stderr, "simt: no memory for a stack\n");
    std::abort();
  }
  auto* const fiber = new Fiber;
  fiber->stack = static_cast<std::byte*>(mapped) + kGuardBytes;
  fiber->context = boost::context::detail::make_fcontext(fiber->stack + kStackBytes, kStackBytes, &FiberPool::Enter);
  all_.push_back(fiber);
  return fiber;
}

FiberPool::~FiberPool() {
  for (Fiber* fiber : all_) {
    ForgetFrames(fiber->stack);
    munmap(fiber->stack - kGuardBytes, kStackBytes + kGuardBytes);
    delete fiber;
  }
}

void FiberPool::Resume(Fiber* fiber) {
  running_ = fiber;
  void* fake = nullptr;
  StartSwitch(&fake, fiber->stack, kStackBytes);
  const auto back = boost::context::detail::jump_fcontext(fiber->context, this);
  FinishSwitch(fake, nullptr, nullptr);
  fiber->context = back.fctx;
}

void FiberPool::SwitchBack() {
  Fiber* const self = running_;
  StartSwitch(&self->fake_stack, outside_stack_, outside_stack_bytes_);
  const auto again = boost::context::detail::jump_fcontext(outside_, nullptr);
  FinishSwitch(self->fake_stack, &outside_stack_, &outside_stack_bytes_);
  outside_ = again.fctx;
}

void FiberPool::Pause() { SwitchBack(); }

void FiberPool::Enter(boost::context::detail::transfer_t from) {
  auto* const pool = static_cast<FiberPool*>(from.data);
  FinishSwitch(nullptr, &pool->outside_stack_, &pool->outside_stack_bytes_);
  pool->outside_ = from.fctx;
  for (;;) {
    pool->work_();
    pool->SwitchBack();
  }
}

}  // namespace braid::simt
