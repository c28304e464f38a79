#include "server/grpc/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <future>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/inference.grpc.pb.h"
#include "server/openai/fake_source.h"

namespace braid {
namespace {

using grpc::StatusCode;

// A real server on a free port over a fake engine.
class GrpcServerTest : public testing::Test {
 protected:
  void StartServer(FakeSource::Script script = {}, bool ready = true, std::vector<KeyHash> keys = {}) {
    serving_ = std::make_unique<Serving>(ServingConfig{.served_names = {"fake"}}, &clock_);
    auto server = GrpcServer::Start({.port = 0, .api_keys = std::move(keys)}, serving_.get());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()), grpc::InsecureChannelCredentials());
    stub_ = v1::Inference::NewStub(channel_);
    if (ready) SetReady(std::move(script));
  }
  void SetReady(FakeSource::Script script) {
    auto source = std::make_unique<FakeSource>(std::move(script));
    source_ = source.get();
    serving_->SetReady({.source = std::move(source), .text = ByteTextModel()});
    server_->SetServing(true);
  }
  void TearDown() override {
    server_.reset();
    serving_.reset();
  }

  static v1::ChatRequest Hello() {
    v1::ChatRequest request;
    auto* message = request.add_messages();
    message->set_role("user");
    message->set_content("hi");
    return request;
  }
  grpc::Status Chat(const v1::ChatRequest& request, v1::ChatReply* reply) {
    grpc::ClientContext context;
    return stub_->Chat(&context, request, reply);
  }

  SteadyClock clock_;
  std::unique_ptr<Serving> serving_;
  FakeSource* source_ = nullptr;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

TEST_F(GrpcServerTest, ChatAnswersAsAWhole) {
  StartServer();
  v1::ChatReply reply;
  const grpc::Status status = Chat(Hello(), &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(reply.choices_size(), 1);
  EXPECT_EQ(reply.choices(0).message().content(), "Hello");
  EXPECT_EQ(reply.choices(0).finish_reason(), "stop");
  EXPECT_EQ(reply.usage().completion_tokens(), 6);
  EXPECT_EQ(reply.model(), "fake");
  EXPECT_GT(reply.created(), 0);
}

TEST_F(GrpcServerTest, ChatStreamsInOrderAndEndsWithUsage) {
  StartServer();
  v1::ChatRequest request = Hello();
  request.mutable_stream_options()->set_include_usage(true);
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, request);
  std::string text, finish;
  v1::ChatChunk chunk, last;
  while (reader->Read(&chunk)) {
    for (const auto& choice : chunk.choices()) {
      text += choice.delta().content();
      finish += choice.finish_reason();
    }
    last = chunk;
    chunk.Clear();
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(text, "Hello");
  EXPECT_EQ(finish, "stop");
  EXPECT_EQ(last.usage().completion_tokens(), 6);
}

TEST_F(GrpcServerTest, CompletionsTakeTextOrIds) {
  StartServer();
  for (const bool ids : {false, true}) {
    v1::CompleteRequest request;
    if (ids) {
      request.add_prompt_token_ids()->add_ids(104);
      request.add_prompt_token_ids()->add_ids(105);
    } else {
      request.add_prompt("h");
      request.add_prompt("i");
    }
    request.set_logprobs(1);
    grpc::ClientContext context;
    v1::CompleteReply reply;
    const grpc::Status status = stub_->Complete(&context, request, &reply);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(reply.choices_size(), 2);
    EXPECT_EQ(reply.choices(1).index(), 1);
    EXPECT_EQ(reply.choices(1).text(), "Hello");
    EXPECT_DOUBLE_EQ(reply.choices(0).logprobs().token_logprobs(0), -0.5);
  }
  v1::CompleteRequest both;
  both.add_prompt("h");
  both.add_prompt_token_ids()->add_ids(1);
  grpc::ClientContext context;
  v1::CompleteReply reply;
  EXPECT_EQ(stub_->Complete(&context, both, &reply).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcServerTest, PromptLogprobsAreStructs) {
  StartServer();
  v1::CompleteRequest request;
  request.add_prompt("ab");
  request.set_prompt_logprobs(1);
  grpc::ClientContext context;
  v1::CompleteReply reply;
  ASSERT_TRUE(stub_->Complete(&context, request, &reply).ok());
  ASSERT_EQ(reply.choices(0).prompt_logprobs_size(), 2);
  EXPECT_EQ(reply.choices(0).prompt_logprobs(0).fields_size(), 0);
  const auto& told = reply.choices(0).prompt_logprobs(1).fields().at("98").struct_value().fields();
  EXPECT_EQ(told.at("logprob").number_value(), -0.5);
  EXPECT_EQ(told.at("rank").number_value(), 1);
  EXPECT_EQ(told.at("decoded_token").string_value(), "b");
  v1::ChatRequest chat = Hello();
  chat.set_prompt_logprobs(0);
  v1::ChatReply answer;
  ASSERT_TRUE(Chat(chat, &answer).ok());
  EXPECT_EQ(answer.prompt_logprobs_size(), answer.usage().prompt_tokens());
  chat.set_prompt_logprobs(21);
  EXPECT_EQ(Chat(chat, &answer).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcServerTest, CompleteStreams) {
  StartServer();
  v1::CompleteRequest request;
  request.add_prompt("x");
  request.set_max_tokens(3);
  grpc::ClientContext context;
  auto reader = stub_->CompleteStream(&context, request);
  std::string text;
  for (v1::CompleteReply chunk; reader->Read(&chunk); chunk.Clear()) {
    for (const auto& choice : chunk.choices()) text += choice.text();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(text, "Hel");
}

TEST_F(GrpcServerTest, TokenizeDetokenizeModels) {
  StartServer();
  v1::TokenizeRequest text;
  text.set_prompt("ab");
  v1::TokenizeReply tokens;
  grpc::ClientContext first, second, third;
  ASSERT_TRUE(stub_->Tokenize(&first, text, &tokens).ok());
  EXPECT_THAT(tokens.tokens(), testing::ElementsAre(97, 98));
  v1::DetokenizeRequest ids;
  ids.add_tokens(97);
  v1::DetokenizeReply back;
  ASSERT_TRUE(stub_->Detokenize(&second, ids, &back).ok());
  EXPECT_EQ(back.prompt(), "a");
  v1::ModelsReply models;
  ASSERT_TRUE(stub_->Models(&third, {}, &models).ok());
  EXPECT_EQ(models.data(0).id(), "fake");
  EXPECT_EQ(models.data(0).max_model_len(), 200);
}

TEST_F(GrpcServerTest, ErrorsHaveTheirCodes) {
  StartServer();
  v1::ChatReply reply;
  EXPECT_EQ(Chat({}, &reply).error_code(), StatusCode::INVALID_ARGUMENT);
  v1::ChatRequest hot = Hello();
  hot.set_temperature(9);
  EXPECT_EQ(Chat(hot, &reply).error_code(), StatusCode::INVALID_ARGUMENT);
  v1::ChatRequest stranger = Hello();
  stranger.set_model("nobody");
  EXPECT_EQ(Chat(stranger, &reply).error_code(), StatusCode::NOT_FOUND);
  grpc::ClientContext context;
  v1::ChatChunk chunk;
  auto reader = stub_->ChatStream(&context, stranger);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST_F(GrpcServerTest, AnEngineFaultIsInternalAndAFullQueueUnavailable) {
  StartServer({.fail_after = 2});
  v1::ChatReply reply;
  EXPECT_EQ(Chat(Hello(), &reply).error_code(), StatusCode::INTERNAL);
  TearDown();
  StartServer({.refuse = absl::UnavailableError("the queue is full")});
  EXPECT_EQ(Chat(Hello(), &reply).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTest, UnavailableWhileLoadingAndDraining) {
  StartServer({}, /*ready=*/false);
  v1::ChatReply reply;
  EXPECT_EQ(Chat(Hello(), &reply).error_code(), StatusCode::UNAVAILABLE);
  SetReady({});
  EXPECT_TRUE(Chat(Hello(), &reply).ok());
  serving_->BeginDrain();
  EXPECT_EQ(Chat(Hello(), &reply).error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServerTest, KeysAreAsked) {
  StartServer({}, true, {HashKey("secret")});
  v1::ChatReply reply;
  EXPECT_EQ(Chat(Hello(), &reply).error_code(), StatusCode::UNAUTHENTICATED);
  for (const auto& [key, code] : {std::pair("Bearer secret", StatusCode::OK), {"Bearer wrong", StatusCode::UNAUTHENTICATED}}) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", key);
    EXPECT_EQ(stub_->Chat(&context, Hello(), &reply).error_code(), code) << key;
  }
}

TEST_F(GrpcServerTest, ADeadlineEndsTheCallAndCancelsTheRequest) {
  StartServer({.hold = true});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  v1::ChatReply reply;
  EXPECT_EQ(stub_->Chat(&context, Hello(), &reply).error_code(), StatusCode::DEADLINE_EXCEEDED);
  for (int i = 0; i < 500 && source_->cancelled() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(source_->cancelled(), 1u);
  EXPECT_GT(source_->requests().at(0).deadline_ns, 0);
}

TEST_F(GrpcServerTest, ACancelledStreamCancelsTheRequest) {
  StartServer({.hold = true});
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Hello());
  for (int i = 0; i < 500 && source_->requests().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  context.TryCancel();
  v1::ChatChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
  for (int i = 0; i < 500 && source_->cancelled() == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(source_->cancelled(), 1u);
}

TEST_F(GrpcServerTest, ShutdownCutsWhatIsLeft) {
  StartServer({.hold = true});
  grpc::ClientContext context;
  auto reader = stub_->ChatStream(&context, Hello());
  for (int i = 0; i < 500 && source_->requests().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  server_->Shutdown(std::chrono::milliseconds(50));
  v1::ChatChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_FALSE(reader->Finish().ok());
  EXPECT_EQ(source_->cancelled(), 1u);
}

TEST_F(GrpcServerTest, AMessageOverTheLimitIsRefused) {
  StartServer();
  v1::ChatRequest request = Hello();
  request.mutable_messages(0)->set_content(std::string((8 << 20) + 1, 'x'));
  v1::ChatReply reply;
  EXPECT_EQ(Chat(request, &reply).error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerTest, ManyClientsAtOnce) {
  StartServer();
  std::vector<std::thread> clients;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        grpc::ClientContext context;
        auto reader = stub_->ChatStream(&context, Hello());
        std::string text;
        for (v1::ChatChunk chunk; reader->Read(&chunk); chunk.Clear()) {
          for (const auto& choice : chunk.choices()) text += choice.delta().content();
        }
        good += reader->Finish().ok() && text == "Hello";
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 160);
}

// One byte-level call of grpc.health.v1.Health/Check; the answer's enum, -1 for an error.
int HealthOf(const std::shared_ptr<grpc::Channel>& channel, const std::string& service) {
  std::string request;
  if (!service.empty()) request = std::string("\x0a", 1) + static_cast<char>(service.size()) + service;
  grpc::Slice slice(request);
  grpc::ByteBuffer in(&slice, 1), out;
  grpc::ClientContext context;
  std::promise<grpc::Status> done;
  grpc::GenericStub stub(channel);
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &in, &out,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return -1;
  grpc::Slice reply;
  EXPECT_TRUE(out.DumpToSingleSlice(&reply).ok());
  return reply.size() == 2 ? reply.begin()[1] : 0;
}

TEST_F(GrpcServerTest, HealthFollowsTheModel) {
  constexpr int kServing = 1, kNotServing = 2;
  StartServer({}, /*ready=*/false);
  EXPECT_EQ(HealthOf(channel_, ""), kNotServing);
  EXPECT_EQ(HealthOf(channel_, "braid.v1.Inference"), kNotServing);
  SetReady({});
  EXPECT_EQ(HealthOf(channel_, ""), kServing);
  EXPECT_EQ(HealthOf(channel_, "braid.v1.Inference"), kServing);
  server_->SetServing(false);
  EXPECT_EQ(HealthOf(channel_, "braid.v1.Inference"), kNotServing);
  EXPECT_EQ(HealthOf(channel_, "nobody"), -1);
}

TEST_F(GrpcServerTest, APortThatIsTakenIsAnError) {
  StartServer();
  EXPECT_EQ(GrpcServer::Start({.port = server_->port()}, serving_.get()).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace braid
