#include "kernels/cuda_batch.h"

#include <algorithm>
#include <numeric>

namespace braid::cuda {
namespace {

constexpr int32_t kLeastContext = 256;
constexpr int32_t kMaxTokensEach = 16;

// Fills one array of the image after another.
class ImageWriter {
 public:
  explicit ImageWriter(Inbound::Room room) : room_(room) {}
  static size_t Size(size_t bytes) { return (bytes + 63) / 64 * 64; }

  template <class T>
  T* Write(std::span<const T> values) {
    std::byte* const at = room_.pinned + used_;
    if (!values.empty()) std::memcpy(at, values.data(), values.size_bytes());
    T* const device = reinterpret_cast<T*>(room_.device + used_);
    last_ = at;
    used_ += Size(values.size_bytes());
    return device;
  }
  // The host's copy of what was written last.
  template <class T>
  T* last() const {
    return reinterpret_cast<T*>(last_);
  }
  size_t used() const { return used_; }

 private:
  Inbound::Room room_;
  std::byte* last_ = nullptr;
  size_t used_ = 0;
};

size_t TableEntries(const RaggedBatch& batch) {
  size_t entries = 0;
  for (const SequenceSpan& span : batch.sequences) entries += static_cast<size_t>(span.num_blocks);
  return entries;
}

size_t ImageBytes(const RaggedBatch& batch) {
  const size_t tokens = batch.ids.size(), sequences = batch.sequences.size();
  return 3 * ImageWriter::Size(4 * tokens) + ImageWriter::Size(4 * batch.logit_rows.size()) +
         ImageWriter::Size(sizeof(SequenceSpan) * sequences) + ImageWriter::Size(4 * TableEntries(batch));
}

std::vector<int32_t>& SequenceOfToken(const RaggedBatch& batch) {
  static thread_local std::vector<int32_t> owner;
  owner.assign(batch.ids.size(), -1);
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const SequenceSpan& span = batch.sequences[s];
    if (!span.padding) std::fill_n(owner.begin() + span.first_row, span.num_tokens, static_cast<int32_t>(s));
  }
  return owner;
}

// Writes the tables one behind the other and points the spans, on the host at `spans`, to them.
void WriteTables(const RaggedBatch& batch, ImageWriter& writer, SequenceSpan* spans) {
  static thread_local std::vector<int32_t> tables;
  tables.clear();
  for (const SequenceSpan& span : batch.sequences) {
    CHECK(span.blocks == nullptr || span.num_blocks > 0) << "a block table of unknown length";
    tables.insert(tables.end(), span.blocks, span.blocks + span.num_blocks);
  }
  const int32_t* next = writer.Write(std::span<const int32_t>(tables));
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    if (spans[s].blocks != nullptr) spans[s].blocks = next;
    next += spans[s].num_blocks;
    if (spans[s].padding) spans[s].num_tokens = 0;
  }
}

int32_t RoundUp(int32_t sequences) {
  if (sequences <= 2) return sequences;
  int32_t power = 4;
  while (power < sequences) power *= 2;
  return power >= 16 && sequences <= power / 4 * 3 ? power / 4 * 3 : power;
}

}  // namespace

DeviceBatch CountsOf(const RaggedBatch& batch) {
  DeviceBatch counts{.num_tokens = static_cast<int32_t>(batch.ids.size()),
                     .num_sequences = static_cast<int32_t>(batch.sequences.size())};
  for (const SequenceSpan& span : batch.sequences) {
    counts.max_span_tokens = std::max(counts.max_span_tokens, span.num_tokens);
    counts.max_context = std::max(counts.max_context, span.start + span.num_tokens);
  }
  return counts;
}

DeviceBatch PlaceBatch(const RaggedBatch& batch, const DeviceBatch& counts, Inbound& inbound,
                       device::Stream& stream) {
  const Inbound::Room room = inbound.Take(ImageBytes(batch));
  ImageWriter writer(room);
  DeviceBatch placed = counts;
  placed.ids = writer.Write(batch.ids);
  placed.positions = writer.Write(batch.positions);
  placed.token_sequence = writer.Write(std::span<const int32_t>(SequenceOfToken(batch)));
  const int32_t* const logit_rows = writer.Write(batch.logit_rows);
  placed.sequences = writer.Write(batch.sequences);
  WriteTables(batch, writer, writer.last<SequenceSpan>());
  stream.CopyIn(room.pinned, room.device, writer.used());
  inbound.Remember(std::as_bytes(batch.ids), reinterpret_cast<const std::byte*>(placed.ids));
  inbound.Remember(std::as_bytes(batch.positions), reinterpret_cast<const std::byte*>(placed.positions));
  inbound.Remember(std::as_bytes(batch.logit_rows), reinterpret_cast<const std::byte*>(logit_rows));
  return placed;
}

DecodeShape DecodeShapeOf(const RaggedBatch& batch) {
  if (batch.sequences.empty() || batch.logit_rows.size() != batch.ids.size()) return {};
  DecodeShape shape{.sequences = static_cast<int32_t>(batch.sequences.size()),
                    .tokens_each = batch.sequences[0].num_tokens};
  if (shape.tokens_each > kMaxTokensEach) return {};
  for (const SequenceSpan& span : batch.sequences) {
    if (span.num_tokens != shape.tokens_each) return {};
    shape.max_context = std::max(shape.max_context, span.start + span.num_tokens);
  }
  return shape;
}

DecodeShape LadderShape(const DecodeShape& shape, int64_t max_rows) {
  DecodeShape ladder = shape;
  const int32_t sequences = RoundUp(shape.sequences);
  if (int64_t{sequences} * shape.tokens_each <= max_rows) ladder.sequences = sequences;
  ladder.max_context = kLeastContext;
  while (ladder.max_context < shape.max_context) ladder.max_context *= 2;
  return ladder;
}

const RaggedBatch& PaddedBatch::Pad(const RaggedBatch& batch, const DecodeShape& shape) {
  const size_t rows = static_cast<size_t>(shape.sequences) * static_cast<size_t>(shape.tokens_each);
  ids_.assign(batch.ids.begin(), batch.ids.end());
  ids_.resize(rows);
  positions_.assign(batch.positions.begin(), batch.positions.end());
  positions_.resize(rows);
  logit_rows_.resize(rows);
  std::iota(logit_rows_.begin(), logit_rows_.end(), 0);
  sequences_.assign(batch.sequences.begin(), batch.sequences.end());
  while (sequences_.size() < static_cast<size_t>(shape.sequences)) {
    const int32_t first = static_cast<int32_t>(sequences_.size()) * shape.tokens_each;
    sequences_.push_back({.first_row = first, .num_tokens = shape.tokens_each, .padding = true});
  }
  batch_ = {ids_, positions_, sequences_, logit_rows_};
  return batch_;
}

}  // namespace braid::cuda
