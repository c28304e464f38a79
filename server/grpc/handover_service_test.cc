// Prompts handed over between two engines through a real port.
#include "server/grpc/handover_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "engine/handover/importer.h"
#include "engine/testing/tiny_engine.h"
#include "models/weights/checkpoint.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/handover_client.h"
#include "server/grpc/handover_messages.h"

namespace braid {
namespace {

using testing::Choice;
using testing::Collector;
using testing::Eventually;
using testing::ExpectEqualBits;
using testing::kClock;
using testing::StartTiny;

constexpr const char* kSecret = "a secret of some length";

EngineConfig Config() {
  EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = 64;
  config.scheduler.max_sequences = 8;
  return config;
}

GenerateRequest Request(int length) {
  std::mt19937 random(length);
  GenerateRequest request{.prompt = std::vector<int32_t>(length), .max_tokens = 20, .ignore_eos = true};
  for (int32_t& token : request.prompt) token = random() % 250;
  request.sampling = {.temperature = 0.9f, .presence_penalty = 0.5f, .seed = 3, .logprobs = 2};
  return request;
}

class HandoverServiceTest : public ::testing::Test {
 protected:
  HandoverServiceTest() : from_(StartTiny("nemotron_h", Config())), to_(StartTiny("nemotron_h", Config())) {
    exporter_ = std::make_unique<Exporter>(from_.get(), &kClock, ExporterConfig{.lease_ms = 3000});
    importer_ = std::make_unique<Importer>(to_.get(), &kClock, ImporterConfig{});
    StartServer(0);
  }
  ~HandoverServiceTest() override {
    server_.reset();
    importer_.reset();
    exporter_.reset();
  }

  void StartServer(int port) {
    auto server = GrpcServer::Start({.port = port, .peer_key = std::make_shared<PeerKey>(kSecret)}, &serving_);
    CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetExporter(exporter_.get());
    port_ = server_->port();
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  Choice Ask(GenerateRequest request, const std::string& secret = kSecret) {
    PeerDirectory peers(std::make_shared<PeerKey>(secret));
    Collector collector;
    request.on_event = collector.Sink();
    CHECK(importer_->Submit(std::move(request), peers.At(address())).ok());
    CHECK(collector.WaitForEnd());
    return collector.choice();
  }
  Choice AskAlone(GenerateRequest request) {
    Collector collector;
    request.on_event = collector.Sink();
    CHECK(to_->Submit(std::move(request)).ok());
    CHECK(collector.WaitForEnd());
    return collector.choice();
  }
  bool HoldsNothing() {
    const EngineStats stats = from_->Stats();
    return exporter_->offers().Stats().kept == 0 && from_->InFlight() == 0 && stats.blocks_used == 0 && !stats.busy;
  }

  // A call with a signature of our choice.
  template <class Message, class Call>
  grpc::Status Call1(const char* purpose, const Message& request, Call call, std::string signature = "") {
    auto stub = v1::Handover::NewStub(grpc::CreateChannel(address(), grpc::InsecureChannelCredentials()));
    if (signature.empty()) signature = PeerKey(kSecret).Sign(purpose, request.SerializeAsString());
    grpc::ClientContext context;
    context.AddMetadata(kPeerSignature, signature);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return call(*stub, &context);
  }
  grpc::Status Prefill(const v1::PrefillRequest& request, v1::PrefillReply* reply, const std::string& signature = "") {
    return Call1(kSignPrefill, request, [&](auto& stub, auto* context) { return stub.Prefill(context, request, reply); }, signature);
  }
  grpc::Status Fetch(const v1::FetchRequest& request, int64_t* bytes, const std::string& signature = "") {
    return Call1(kSignFetch, request, [&](auto& stub, auto* context) {
      auto reader = stub.Fetch(context, request);
      for (v1::ImagePart part; reader->Read(&part);) *bytes += static_cast<int64_t>(part.data().size());
      return reader->Finish();
    }, signature);
  }
  grpc::Status Release(const v1::ReleaseRequest& request) {
    v1::ReleaseReply reply;
    return Call1(kSignRelease, request, [&](auto& stub, auto* context) { return stub.Release(context, request, &reply); });
  }
  v1::PrefillRequest Question() const {
    v1::PrefillRequest request;
    PrefillCall call{.asker = exporter_->identity(), .prompt = Request(70).prompt};
    WriteCall(call, &request);
    return request;
  }

  const std::unique_ptr<Engine> from_, to_;
  std::unique_ptr<Exporter> exporter_;
  std::unique_ptr<Importer> importer_;
  SteadyClock clock_;
  Serving serving_{ServingConfig{.served_names = {"tiny"}}, &clock_};
  std::unique_ptr<GrpcServer> server_;
  int port_ = 0;
};

TEST_F(HandoverServiceTest, HandsOverWithEqualBits) {
  for (const int length : {1, 33, 64, 200}) {
    SCOPED_TRACE(length);
    ExpectEqualBits(Ask(Request(length)), AskAlone(Request(length)));
  }
  EXPECT_EQ(importer_->Stats().taken, 4u);
  EXPECT_EQ(importer_->Stats().recomputed, 0u);
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(); }));
  EXPECT_EQ(exporter_->offers().Stats().bytes_read, importer_->Stats().bytes_received);
}

TEST_F(HandoverServiceTest, ManyAtOnceAllArrive) {
  std::vector<Choice> over(16);
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) threads.emplace_back([&, i] { over[i] = Ask(Request(30 + 7 * i)); });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 16; ++i) EXPECT_EQ(over[i].tokens, AskAlone(Request(30 + 7 * i)).tokens);
  EXPECT_EQ(importer_->Stats().taken, 16u);
}

TEST_F(HandoverServiceTest, StrangersGetNothing) {
  v1::PrefillReply reply;
  int64_t bytes = 0;
  const std::string of_another = PeerKey("another secret of length").Sign(kSignPrefill, Question().SerializeAsString());
  EXPECT_EQ(Prefill(Question(), &reply, of_another).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Prefill(Question(), &reply, "none").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(from_->Stats().prompt_tokens_computed, 0u);
  const std::string signature = PeerKey(kSecret).Sign(kSignPrefill, Question().SerializeAsString());
  EXPECT_TRUE(Prefill(Question(), &reply, signature).ok());
  EXPECT_EQ(Prefill(Question(), &reply, signature).error_code(), grpc::StatusCode::UNAUTHENTICATED);  // replayed
  v1::FetchRequest fetch;
  *fetch.mutable_offer() = reply.offer();
  EXPECT_EQ(Fetch(fetch, &bytes, of_another).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(bytes, 0);
  // A prefilling process with another key is no peer: the prompt is computed at home.
  EXPECT_EQ(Ask(Request(40), "another secret of length").tokens, AskAlone(Request(40)).tokens);
  EXPECT_EQ(importer_->Stats().recomputed, 1u);
}

TEST_F(HandoverServiceTest, AnOfferIsReadUntilItIsReleasedAndNotAfter) {
  v1::PrefillReply reply;
  ASSERT_TRUE(Prefill(Question(), &reply).ok());
  EXPECT_EQ(reply.num_computed(), 70);
  v1::FetchRequest fetch;
  *fetch.mutable_offer() = reply.offer();
  int64_t bytes = 0;
  EXPECT_TRUE(Fetch(fetch, &bytes).ok());
  EXPECT_EQ(bytes, reply.image_bytes());
  v1::FetchRequest other = fetch;
  other.mutable_offer()->set_epoch(1);
  EXPECT_EQ(Fetch(other, &bytes).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::ReleaseRequest release;
  *release.mutable_offer() = reply.offer();
  EXPECT_TRUE(Release(release).ok());
  EXPECT_EQ(Release(release).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Fetch(fetch, &bytes).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(bytes, reply.image_bytes());
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(); }));
}

TEST_F(HandoverServiceTest, ChangedLayoutsAreRefusedByName) {
  v1::PrefillRequest question = Question();
  question.mutable_asker()->mutable_layout()->set_block_size(64);
  v1::PrefillReply reply;
  const grpc::Status status = Prefill(question, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "layout.block_size: 64 is not ours, 32");
  question = Question();
  question.set_prompt(0, 1 << 30);
  EXPECT_EQ(Prefill(question, &reply).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  question = Question();
  question.mutable_sampling()->set_temperature(-1);
  EXPECT_EQ(Prefill(question, &reply).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(HandoverServiceTest, WhoHangsUpLeavesNothingBehind) {
  for (int i = 0; i < 10; ++i) {
    grpc::ClientContext context;
    const v1::PrefillRequest question = Question();
    v1::PrefillReply reply;
    context.AddMetadata(kPeerSignature, PeerKey(kSecret).Sign(kSignPrefill, question.SerializeAsString()));
    auto stub = v1::Handover::NewStub(grpc::CreateChannel(address(), grpc::InsecureChannelCredentials()));
    std::thread leaves([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(400 * i));
      context.TryCancel();
    });
    const grpc::Status status = stub->Prefill(&context, question, &reply);
    leaves.join();
    if (!status.ok()) continue;
    v1::ReleaseRequest release;
    *release.mutable_offer() = reply.offer();
    EXPECT_TRUE(Release(release).ok());
  }
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(); }));
}

TEST_F(HandoverServiceTest, WithoutAPeerThePromptIsComputedHere) {
  server_.reset();
  EXPECT_EQ(Ask(Request(40)).tokens, AskAlone(Request(40)).tokens);
  EXPECT_EQ(importer_->Stats().recomputed, 1u);
}

TEST_F(HandoverServiceTest, APeerThatComesBackIsUsedAgain) {
  PeerDirectory peers(std::make_shared<PeerKey>(kSecret));
  const auto ask = [&] {
    Collector collector;
    GenerateRequest request = Request(40);
    request.on_event = collector.Sink();
    CHECK(importer_->Submit(std::move(request), peers.At(address())).ok());
    CHECK(collector.WaitForEnd());
  };
  ask();
  EXPECT_EQ(importer_->Stats().taken, 1u);
  const int port = port_;
  server_.reset();
  ask();
  EXPECT_EQ(importer_->Stats().recomputed, 1u);
  StartServer(port);
  EXPECT_TRUE(Eventually([&] {
    ask();
    return importer_->Stats().taken == 2;
  }));
}

}  // namespace
}  // namespace braid
