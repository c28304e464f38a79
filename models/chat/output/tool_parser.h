// What reads the tool calls of one format: the part of an output parser that differs between formats.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/chat/output/delta_writer.h"
#include "models/chat/output/marker_scanner.h"

namespace braid {

// Sleeps while reasoning or content goes by; Begin wakes it behind an opener, and it reads until a block of calls is
// over. Thread: one at a time.
class ToolParser {
 public:
  enum class Progress { kMore, kOver };  // wants more text; the block is over, what follows is content

  virtual ~ToolParser() = default;
  // Markers that begin a block.
  virtual std::vector<std::string> openers() const = 0;
  // Markers that vanish from content: the closing ones and those around blocks.
  virtual std::vector<std::string> vanishing() const { return {}; }
  // Bytes that begin a block when they are the answer's first other than white space.
  virtual std::string_view start_bytes() const { return {}; }
  // A marker that ends even the reasoning; empty: none does.
  virtual std::string breaker() const { return {}; }

  // A block begins: behind an opener, or at a start byte, which Read will meet.
  virtual void Begin() = 0;
  virtual Progress Read(MarkerScanner* text, DeltaWriter* out) = 0;
  // The text ended inside a block. `cut`: by length, so what is unfinished stays unfinished.
  virtual void End(bool cut, DeltaWriter* out) = 0;
};

}  // namespace braid
