// Engines on the tiny checkpoints of tests/data/models, and what tests of them ask again and again.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/testing/collector.h"
#include "kernels/base/clock.h"
#include "models/weights/checkpoint.h"

namespace braid::testing {

inline const SteadyClock kClock;

inline std::unique_ptr<Engine> StartTiny(const std::string& model, const EngineConfig& config) {
  auto checkpoint = Checkpoint::Open(std::string(BRAID_SOURCE_DIR "/tests/data/models/") + model);
  CHECK(checkpoint.ok()) << checkpoint.status();
  auto engine = Engine::Start(config, **checkpoint, &kClock);
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

// The choices of each, asked for all at once.
inline std::vector<std::vector<Choice>> AskAll(Engine& engine, const std::vector<GenerateRequest>& requests) {
  std::vector<std::unique_ptr<Collector>> collectors;
  for (GenerateRequest request : requests) {
    collectors.push_back(std::make_unique<Collector>(request.n));
    request.on_event = collectors.back()->Sink();
    const auto handle = engine.Submit(std::move(request));
    CHECK(handle.ok()) << handle.status();
  }
  std::vector<std::vector<Choice>> answers(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    CHECK(collectors[i]->WaitForEnd());
    for (int c = 0; c < requests[i].n; ++c) answers[i].push_back(collectors[i]->choice(c));
  }
  return answers;
}

inline std::vector<Choice> AskChoices(Engine& engine, const GenerateRequest& request) { return AskAll(engine, {request})[0]; }

inline Choice Ask(Engine& engine, const GenerateRequest& request) { return AskChoices(engine, request)[0]; }

inline std::vector<int32_t> RandomTokens(std::mt19937& random, int count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 250);
  return tokens;
}

// Whether it comes to hold; false after several seconds.
inline bool Eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

inline bool HoldsNothing(const Engine& engine) {
  const EngineStats stats = engine.Stats();
  return engine.InFlight() == 0 && !stats.busy && stats.blocks_used == 0 && stats.state_slots_used == 0;
}

// Once no request runs and no block is used.
inline EngineStats StatsWhenIdle(const Engine& engine) {
  Eventually([&] { return engine.InFlight() == 0 && !engine.Stats().busy && engine.Stats().blocks_used == 0; });
  return engine.Stats();
}

inline void ExpectEqualBits(const Choice& a, const Choice& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.finish, b.finish);
  EXPECT_EQ(a.stop_token, b.stop_token);
  ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
  for (size_t i = 0; i < a.logprobs.size(); ++i) {
    EXPECT_EQ(a.logprobs[i].logprob, b.logprobs[i].logprob) << "token " << i;
    EXPECT_EQ(a.logprobs[i].top, b.logprobs[i].top) << "token " << i;
  }
}

}  // namespace braid::testing
