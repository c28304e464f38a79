#include "models/tokenizer/stop_finder.h"

#include <utility>

namespace braid {

StopFinder::StopFinder(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (size_t i = 0; i < stops_.size(); ++i) {
    if (!stops_[i].empty()) Insert(stops_[i], static_cast<int32_t>(i));
  }
  LinkFailures();
}

void StopFinder::Insert(std::string_view stop, int32_t index) {
  uint32_t node = 0;
  for (const char c : stop) {
    const auto byte = static_cast<uint8_t>(c);
    if (const uint32_t* child = Child(node, byte)) {
      node = *child;
      continue;
    }
    const auto fresh = static_cast<uint32_t>(nodes_.size());
    nodes_[node].children.emplace_back(byte, fresh);
    nodes_.push_back({.depth = nodes_[node].depth + 1});
    node = fresh;
  }
  if (nodes_[node].stop < 0) nodes_[node].stop = index;
}

void StopFinder::LinkFailures() {
  std::vector<uint32_t> queue;  // breadth first
  for (const auto& [byte, child] : nodes_[0].children) queue.push_back(child);
  for (size_t i = 0; i < queue.size(); ++i) {
    const uint32_t node = queue[i];
    const uint32_t fail = nodes_[node].fail;
    if (nodes_[node].stop < 0) nodes_[node].stop = nodes_[fail].stop;
    for (const auto& [byte, child] : nodes_[node].children) {
      nodes_[child].fail = Follow(fail, byte);
      queue.push_back(child);
    }
  }
}

const uint32_t* StopFinder::Child(uint32_t node, uint8_t byte) const {
  for (const auto& [label, child] : nodes_[node].children) {
    if (label == byte) return &child;
  }
  return nullptr;
}

uint32_t StopFinder::Follow(uint32_t node, uint8_t byte) const {
  while (true) {
    if (const uint32_t* child = Child(node, byte)) return *child;
    if (node == 0) return 0;
    node = nodes_[node].fail;
  }
}

std::optional<StopFinder::Match> StopFinder::Next(std::string_view chunk) {
  for (size_t i = 0; i < chunk.size(); ++i) {
    node_ = Follow(node_, static_cast<uint8_t>(chunk[i]));
    if (const int32_t stop = nodes_[node_].stop; stop >= 0) {
      return Match{i + 1, stops_[stop].size(), static_cast<size_t>(stop)};
    }
  }
  return std::nullopt;
}

}  // namespace braid
