// Where a mixer puts what it adds to the residual: with one rank onto the residual itself. With more into this rank's part
// of a sum, which the first mixer that stands there begins.
#pragma once

#include "kernels/linear/linear.h"

namespace braid {

struct Addend {
  TensorView y;  // [tokens, hidden]
  bool add;      // onto what is there
  Epilogue epilogue() const { return add ? Epilogue::kAdd : Epilogue::kStore; }
};

}  // namespace braid
