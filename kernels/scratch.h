// Bump memory for one step. Every member of a team bumps its own cursor over the same bytes in the same order,
// so that all see the same addresses.
#pragma once

#include <cstddef>

#include "kernels/tensor.h"

namespace braid {

class Scratch {
 public:
  // Measures only when `base` is null: addresses are then meaningless.
  explicit Scratch(std::byte* base = nullptr, size_t capacity = 0) : base_(base), capacity_(capacity) {}

  // A matrix of uninitialised f32, aligned to 64 bytes, valid until the scope that was open dies.
  TensorView Matrix(int64_t rows, int64_t cols) {
    return TensorView::Of(reinterpret_cast<float*>(Take(4 * rows * cols)), rows, cols);
  }
  template <class T>
  T* Array(int64_t count) {
    return reinterpret_cast<T*>(Take(static_cast<int64_t>(sizeof(T)) * count));
  }
  // Operations take their memory first and return at once when this is set.
  bool measuring() const { return base_ == nullptr; }
  size_t peak() const { return peak_; }
  size_t used() const { return used_; }

  // Gives back on death what was taken since its birth.
  class Scope {
   public:
    explicit Scope(Scratch& scratch) : scratch_(scratch), mark_(scratch.used_) {}
    ~Scope() { scratch_.used_ = mark_; }
    Scope(const Scope&) = delete;

   private:
    Scratch& scratch_;
    size_t mark_;
  };

 private:
  std::byte* Take(int64_t bytes) {
    std::byte* const at = base_ + used_;
    used_ += (static_cast<size_t>(bytes) + 63) / 64 * 64;
    if (used_ > peak_) peak_ = used_;
    CHECK(base_ == nullptr || used_ <= capacity_) << "step memory of " << capacity_ << " bytes";
    return at;
  }

  std::byte* base_;
  size_t capacity_;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace braid
