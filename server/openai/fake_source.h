// An engine for tests that says what it is told to, and a text side of 256 bytes and a few special tokens.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/serving.h"

namespace braid {

// Every sequence answers `text`, a byte a token, then ends with id 256. Thread: any.
class FakeSource : public TokenSource {
 public:
  struct Script {
    std::string text = "Hello";
    bool hold = false;                 // emit nothing until the request is cancelled
    int fail_after = -1;               // kError behind so many tokens
    absl::Status refuse;               // of Submit
  };

  explicit FakeSource(Script script, int vocab_size = 260, int max_model_len = 200) : script_(std::move(script)) {
    info_.vocab_size = vocab_size;
    info_.max_model_len = max_model_len;
    info_.eos_token_ids = {256};
    info_.fingerprint = "fp_test";
  }
  ~FakeSource() override {
    for (std::thread& thread : threads_) thread.join();
  }

  absl::StatusOr<RequestHandle> Submit(GenerateRequest request) override {
    if (!script_.refuse.ok()) return script_.refuse;
    std::lock_guard lock(mutex_);
    const RequestHandle handle = ++last_;
    requests_.push_back(request);
    if (!script_.hold) {
      threads_.emplace_back([this, request, handle] { Play(request, handle); });
    } else {
      held_.push_back(std::move(request));
    }
    return handle;
  }
  void Cancel(RequestHandle handle) override {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(handle);
  }
  void CancelChoice(RequestHandle handle, int index) override {
    std::lock_guard lock(mutex_);
    cancelled_choices_.emplace_back(handle, index);
  }
  const EngineInfo& info() const override { return info_; }

  std::vector<GenerateRequest> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  size_t cancelled() {
    std::lock_guard lock(mutex_);
    return cancelled_.size();
  }

 private:
  static TokenLogprobs LogprobsOf(int32_t id, int count) {
    TokenLogprobs out{.logprob = -0.5f, .top = {}, .rank = 1};
    for (int k = 0; k < count; ++k) out.top.emplace_back(id + k, -0.5f - static_cast<float>(k));
    return out;
  }

  TokenEvent EventOf(const GenerateRequest& request, int index, int i) const {
    TokenEvent event{.index = index, .cached_tokens = 1, .scheduled_ns = 1, .emitted_ns = 2 + i};
    const bool ends = i == static_cast<int>(script_.text.size());
    const int32_t id = ends ? 256 : static_cast<unsigned char>(script_.text[i]);
    event.tokens = {id};
    const int logprobs = request.sampling.logprobs;
    if (logprobs >= 0) event.logprobs = {LogprobsOf(id, logprobs)};
    if (i == 0 && request.prompt_logprobs >= 0) {
      for (size_t p = 1; p < request.prompt.size(); ++p) {
        event.prompt_logprobs.push_back(LogprobsOf(request.prompt[p], request.prompt_logprobs));
      }
    }
    if (ends) {
      event.finish = FinishReason::kStop;
      event.stop_token = 256;
    } else if (i + 1 == request.max_tokens) {
      event.finish = FinishReason::kLength;
    }
    for (int32_t stop : request.stop_token_ids) {
      if (stop != id) continue;
      event.finish = FinishReason::kStop;
      event.stop_token = stop;
    }
    return event;
  }

  void Play(const GenerateRequest& request, RequestHandle) const {
    std::vector<bool> done(request.n, false);
    for (int i = 0; i <= static_cast<int>(script_.text.size()); ++i) {
      for (int index = 0; index < request.n; ++index) {
        if (done[index]) continue;
        TokenEvent event = EventOf(request, index, i);
        if (script_.fail_after == i) {
          event = {.index = index, .finish = FinishReason::kError, .error = absl::InternalError("numerical_error")};
        }
        done[index] = event.finish != FinishReason::kNone;
        request.on_event(std::move(event));
      }
    }
  }

  const Script script_;
  EngineInfo info_;
  std::mutex mutex_;
  RequestHandle last_ = 0;
  std::vector<GenerateRequest> requests_, held_;
  std::vector<RequestHandle> cancelled_;
  std::vector<std::pair<RequestHandle, int>> cancelled_choices_;
  std::vector<std::thread> threads_;
};

// Byte b is token b; 256 "<|end|>", 257 "<|user|>", 258 "<|assistant|>".
inline TextModel ByteTextModel() {
  Json vocab = Json::object();
  int extra = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = shown ? byte : 256 + extra++;
    std::string spelled;
    if (code < 0x80) {
      spelled.push_back(static_cast<char>(code));
    } else {
      spelled.push_back(static_cast<char>(0xc0 | code >> 6));
      spelled.push_back(static_cast<char>(0x80 | (code & 63)));
    }
    vocab[spelled] = byte;
  }
  Json added = Json::array();
  int id = 256;
  for (const char* content : {"<|end|>", "<|user|>", "<|assistant|>"}) {
    vocab[content] = id;
    added.push_back(Json{{"id", id++}, {"content", content}, {"special", true}, {"single_word", false},
                         {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  Json json;
  json["version"] = "1.0";
  json["added_tokens"] = added;
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = level;
  json["post_processor"] = nullptr;
  json["decoder"] = level;
  json["model"] = Json{{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
  auto tokenizer = Tokenizer::FromJson(WriteJson(json));
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  auto chat = ChatTemplate::Parse(
      "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
      "", "<|end|>");
  CHECK(chat.ok()) << chat.status().ToString();
  return {.tokenizer = *std::move(tokenizer), .chat_template = *std::move(chat)};
}

}  // namespace braid
