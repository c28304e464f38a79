#include "models/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using enum LayerKind;

Json Parsed(const std::string& text) { return *ParseJson(text, {.allow_bare_infinity = true}); }

// The committed configuration `name` with the members of `patch` put over it; null removes one.
Json Config(const std::string& name, const std::string& patch = "{}") {
  Json config = Parsed(ReadBytes(BRAID_SOURCE_DIR "/tests/data/models/" + name + "/config.json"));
  config.merge_patch(Parsed(patch));
  return config;
}

absl::StatusOr<LlamaConfig> Llama(const std::string& patch, const std::string& generation = "{}") {
  return ParseLlamaConfig(Config("llama", patch), Parsed(generation), "m/config.json");
}

absl::StatusOr<NemotronHConfig> NemotronH(const std::string& patch, const std::string& name = "nemotron_h") {
  return ParseNemotronHConfig(Config(name, patch), Json::object(), "m/config.json");
}

TEST(LlamaConfig, ReadsACheckpoint) {
  const auto checkpoint = Checkpoint::Open(BRAID_SOURCE_DIR "/tests/data/models/llama3_rope");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(*ReadModelType(**checkpoint), "llama");
  const auto c = ReadLlamaConfig(**checkpoint);
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->vocab_size, 288);
  EXPECT_EQ(c->num_kv_heads, 1);
  EXPECT_EQ(c->head_dim, 32);
  EXPECT_TRUE(c->tie_word_embeddings);
  EXPECT_THAT(c->eos_token_ids, ElementsAre(2, 7));
  EXPECT_EQ(c->bos_token_id, 1);
  EXPECT_EQ(c->rope.kind, RopeKind::kLlama3);
  EXPECT_EQ(c->rope.theta, 50'000.0f);
  EXPECT_EQ(c->rope.original_max_position, 64);
  EXPECT_FALSE(c->rope.adjacent_pairs);
  EXPECT_THAT(c->unknown_fields, IsEmpty());
}

TEST(LlamaConfig, HeadDimAndKvHeadsHaveDefaults) {
  const auto c = Llama(R"({"num_key_value_heads":null})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->head_dim, 16);
  EXPECT_EQ(c->num_kv_heads, 4);
}

TEST(LlamaConfig, EosIsTheUnionOfBothFiles) {
  EXPECT_THAT(Llama("{}", R"({"eos_token_id":[11,2]})")->eos_token_ids, ElementsAre(2, 11));
  const auto bad = Llama("{}", R"({"eos_token_id":288})");
  EXPECT_THAT(bad.status().message(), HasSubstr("m/generation_config.json: eos_token_id: 288"));
}

TEST(LlamaConfig, RopeParametersAreRopeThetaAndScalingInOne) {
  const auto c =
      Llama(R"({"rope_theta":null,"rope_parameters":{"rope_type":"linear","rope_theta":500000,"factor":2}})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->rope.kind, RopeKind::kLinear);
  EXPECT_EQ(c->rope.theta, 500'000.0f);
  EXPECT_EQ(c->rope.factor, 2.0f);
  EXPECT_EQ(Llama(R"({"rope_scaling":{"type":"linear","factor":4}})")->rope.factor, 4.0f);
}

TEST(LlamaConfig, UnknownFieldsAreListed) {
  EXPECT_THAT(Llama(R"({"novelty":1})")->unknown_fields, ElementsAre("novelty"));
}

struct Bad {
  const char* patch;
  const char* message;
};

TEST(LlamaConfig, RefusesBadFieldsByName) {
  const Bad cases[] = {
      {R"({"vocab_size":null})", "vocab_size: is missing"},
      {R"({"vocab_size":0})", "vocab_size: 0 is no integer in 1..16777216"},
      {R"({"vocab_size":16777217})", "vocab_size: 16777217"},
      {R"({"vocab_size":288.0})", "vocab_size: 288.0"},
      {R"({"vocab_size":"288"})", "vocab_size: \"288\""},
      {R"({"vocab_size":true})", "vocab_size: true"},
      {R"({"hidden_size":18446744073709551615})", "hidden_size: 18446744073709551615"},
      {R"({"hidden_size":-64})", "hidden_size: -64"},
      {R"({"hidden_size":66})", "num_attention_heads: 4 does not divide hidden_size 66"},
      {R"({"num_key_value_heads":3})", "num_key_value_heads: 3 does not divide num_attention_heads 4"},
      {R"({"num_key_value_heads":0})", "num_key_value_heads: 0"},
      {R"({"num_hidden_layers":5000})", "num_hidden_layers: 5000"},
      {R"({"head_dim":15})", "head_dim: 15 is odd"},
      {R"({"head_dim":16777216})", "num_attention_heads x head_dim"},
      {R"({"rms_norm_eps":-1})", "rms_norm_eps: -1"},
      {R"({"rms_norm_eps":NaN})", "rms_norm_eps: \"NaN\""},
      {R"({"tie_word_embeddings":1})", "tie_word_embeddings: 1"},
      {R"({"hidden_act":"gelu"})", "hidden_act: want silu"},
      {R"({"hidden_act":3})", "hidden_act: 3 is no string"},
      {R"({"rope_theta":0})", "rope_theta: 0"},
      {R"({"rope_scaling":{"rope_type":"longrope","factor":2}})",
       "rope_scaling.rope_type: \"longrope\" is not supported"},
      {R"({"rope_scaling":{"rope_type":"yarn","factor":2}})", "rope_scaling.original_max_position_embeddings"},
      {R"({"rope_scaling":{"rope_type":"yarn","factor":2,"original_max_position_embeddings":64,"mscale":1}})",
       "rope_scaling.mscale: is not supported"},
      {R"({"rope_scaling":{"rope_type":"linear"}})", "rope_scaling.factor: is missing"},
      {R"({"rope_scaling":{"rope_type":"llama3","factor":8}})", "rope_scaling.original_max_position_embeddings"},
      {R"({"rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,"original_max_position_embeddings":64}})",
       "rope_scaling.high_freq_factor: 4"},
      {R"({"rope_scaling":7})", "rope_scaling: 7 is no object"},
      {R"({"partial_rotary_factor":0.5})", "partial_rotary_factor: want 1"},
      {R"({"sliding_window":4096})", "sliding_window"},
      {R"({"model_type":"mistral","sliding_window":0})", "sliding_window: 0"},
      {R"({"model_type":"qwen3","layer_types":["full_attention"]})", "layer_types: is no list of 4 layers"},
      {R"({"model_type":"qwen3_moe"})", "num_experts: is missing"},
      {R"({"model_type":"qwen3_moe","mlp_only_layers":[4]})", "mlp_only_layers: 4 is no layer in 0..3"},
      {R"({"model_type":"mixtral","num_local_experts":8,"num_experts_per_tok":9})", "num_experts_per_tok: 9"},
      {R"({"eos_token_id":"2"})", "eos_token_id: \"2\""},
      {R"({"eos_token_id":[2,-1]})", "eos_token_id: -1"},
      {R"({"bos_token_id":288})", "bos_token_id: 288"},
  };
  for (const Bad& bad : cases) {
    const auto c = Llama(bad.patch);
    ASSERT_FALSE(c.ok()) << bad.patch;
    EXPECT_THAT(c.status().message(), HasSubstr(std::string("m/config.json: ") + bad.message)) << bad.patch;
  }
  EXPECT_TRUE(absl::IsUnimplemented(Llama(R"({"rope_scaling":{"rope_type":"longrope"}})").status()));
}

TEST(LlamaConfig, WindowsAreOnesOwnLayerByLayer) {
  EXPECT_THAT(Llama("{}")->windows, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Llama(R"({"model_type":"mistral","sliding_window":8})")->windows, ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(Llama(R"({"model_type":"qwen2","sliding_window":8})")->windows, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Llama(R"({"model_type":"qwen2","sliding_window":8,"use_sliding_window":true,"max_window_layers":3})")
                  ->windows,
              ElementsAre(0, 0, 0, 8));
  EXPECT_THAT(Llama(R"({"model_type":"qwen3","sliding_window":8,"use_sliding_window":true,
      "layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"]})")
                  ->windows,
              ElementsAre(8, 0, 8, 0));
}

TEST(LlamaConfig, BiasesAndNormsAreTheModelTypes) {
  const auto qwen2 = Llama(R"({"model_type":"qwen2"})"), qwen3 = Llama(R"({"model_type":"qwen3"})");
  EXPECT_TRUE(qwen2->attention_bias && !qwen2->output_bias && !qwen2->qk_norm);
  EXPECT_TRUE(!qwen3->attention_bias && qwen3->qk_norm);
  EXPECT_TRUE(Llama(R"({"attention_bias":true})")->output_bias);
}

TEST(LlamaConfig, ExpertLayersFollowTheStepAndTheList) {
  const std::string moe = R"({"model_type":"qwen3_moe","num_experts":8,"num_experts_per_tok":2,
      "moe_intermediate_size":16,)";
  EXPECT_THAT(Llama(moe + R"("mlp_only_layers":[1]})")->is_moe, ElementsAre(true, false, true, true));
  EXPECT_THAT(Llama(moe + R"("decoder_sparse_step":2})")->is_moe, ElementsAre(false, true, false, true));
  EXPECT_FALSE(Llama(moe + R"("decoder_sparse_step":2})")->moe.norm_top_k_prob);
}

TEST(InverseFrequencies, FollowTheDefinition) {
  const std::vector<float> plain = InverseFrequencies({.theta = 10'000.0f}, 4);
  EXPECT_THAT(plain, ElementsAre(1.0f, 0.01f));
  EXPECT_THAT(InverseFrequencies({.kind = RopeKind::kLinear, .theta = 10'000.0f, .factor = 2.0f}, 4),
              ElementsAre(0.5f, 0.005f));
  EXPECT_THAT(InverseFrequencies({.kind = RopeKind::kNone}, 4), ElementsAre(0.0f, 0.0f));
  EXPECT_THAT(InverseFrequencies({.theta = 10'000.0f, .frequency_divisors = {1.0f, 4.0f}}, 4),
              ElementsAre(1.0f, 0.0025f));
}

TEST(InverseFrequencies, Llama3StretchesLongWavelengths) {
  const RopeConfig rope{.kind = RopeKind::kLlama3,
                        .theta = 50'000.0f,
                        .factor = 8.0f,
                        .low_freq_factor = 1.0f,
                        .high_freq_factor = 4.0f,
                        .original_max_position = 64};
  const std::vector<float> scaled = InverseFrequencies(rope, 32);
  for (int i = 0; i < 16; ++i) {
    const double f = std::pow(50'000.0, -i / 16.0), wavelength = 2 * M_PI / f;
    const double smooth = (64 / wavelength - 1) / 3;
    const double want = wavelength > 64 ? f / 8 : wavelength < 16 ? f : (1 - smooth) * f / 8 + smooth * f;
    EXPECT_NEAR(scaled[i], want, 1e-6 * f) << i;
  }
}

TEST(NemotronHConfig, ReadsThePatternString) {
  const auto c = NemotronH("{}");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_THAT(c->layers, ElementsAre(kMamba, kAttention, kMlp, kMoe, kMamba, kMlp, kAttention, kMoe));
  EXPECT_THAT(c->mlp.intermediate_sizes, ElementsAre(160, 160));
  EXPECT_EQ(c->attention.head_dim, 32);
  EXPECT_EQ(c->mamba.inner_size(), 128);
  EXPECT_EQ(c->mamba.conv_size(), 128 + 2 * 2 * 32);
  EXPECT_TRUE(std::isinf(c->mamba.time_step_max));
  EXPECT_EQ(c->moe.num_experts, 8);
  EXPECT_EQ(c->moe.top_k, 3);
  EXPECT_EQ(c->moe.num_groups, 2);
  EXPECT_EQ(c->moe.shared_intermediate_size, 80);
  EXPECT_FALSE(c->moe.latent_size.has_value());
  EXPECT_EQ(c->moe.routed_scaling_factor, 2.5f);
  EXPECT_THAT(c->mtp_layers, IsEmpty());
  EXPECT_THAT(c->unknown_fields, IsEmpty());
}

TEST(NemotronHConfig, ReadsListsOfEitherSpelling) {
  const auto dense = NemotronH("{}", "nemotron_h_dense");
  ASSERT_TRUE(dense.ok()) << dense.status();
  EXPECT_THAT(dense->layers, ElementsAre(kMamba, kMlp, kMamba, kAttention, kMamba, kMlp));
  const auto latent = NemotronH("{}", "nemotron_h_latent_mtp");
  ASSERT_TRUE(latent.ok()) << latent.status();
  EXPECT_THAT(latent->layers, ElementsAre(kMamba, kMoe, kMamba, kAttention, kMoe, kMamba, kMoe));
  EXPECT_EQ(latent->moe.latent_size, 32);
  EXPECT_EQ(latent->num_nextn_predict_layers, 1);
  EXPECT_THAT(latent->mtp_layers, ElementsAre(kAttention, kMoe));
}

TEST(NemotronHConfig, TheListWinsOverTheString) {
  EXPECT_THAT(NemotronH(R"({"layer_types":["mamba","moe"]})")->layers, ElementsAre(kMamba, kMoe));
}

TEST(NemotronHConfig, PatternsMayHoldCutsAndTheDraftHead) {
  const auto c = NemotronH(R"({"hybrid_override_pattern":"M*|-E/*E/*E","num_nextn_predict_layers":2})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_THAT(c->layers, ElementsAre(kMamba, kAttention, kMlp, kMoe));
  EXPECT_THAT(c->mtp_layers, ElementsAre(kAttention, kMoe));
}

TEST(NemotronHConfig, IntermediateSizesGoByOrdinal) {
  EXPECT_THAT(NemotronH(R"({"intermediate_size":[8,16]})")->mlp.intermediate_sizes, ElementsAre(8, 16));
  EXPECT_THAT(NemotronH(R"({"intermediate_size":[8]})")->mlp.intermediate_sizes, ElementsAre(8, 8));
}

TEST(NemotronHConfig, TimeStepLimitInEverySpelling) {
  for (const char* max : {"Infinity", R"({"__float__":"Infinity"})", R"("Infinity")", "1e39"}) {
    const auto c = NemotronH(std::string(R"({"time_step_limit":[0.001,)") + max + "]}");
    ASSERT_TRUE(c.ok()) << c.status();
    EXPECT_EQ(c->mamba.time_step_min, 0.001f);
    EXPECT_TRUE(std::isinf(c->mamba.time_step_max)) << max;
  }
  EXPECT_EQ(NemotronH(R"({"time_step_limit":[0,0.5]})")->mamba.time_step_max, 0.5f);
}

TEST(NemotronHConfig, FieldsOfAbsentKindsMayBeMissing) {
  const auto c = NemotronH(
      R"({"hybrid_override_pattern":"M","num_attention_heads":null,"num_key_value_heads":null,"head_dim":null,
          "intermediate_size":null,"n_routed_experts":null,"num_experts_per_tok":null,"n_group":null,
          "moe_intermediate_size":null})");
  EXPECT_TRUE(c.ok()) << c.status();
}

TEST(NemotronHConfig, RefusesBadFieldsByName) {
  const Bad cases[] = {
      {R"({"hybrid_override_pattern":"M?"})", "hybrid_override_pattern: \"?\""},
      {R"({"hybrid_override_pattern":"|"})", "hybrid_override_pattern: 0 layers"},
      {R"({"hybrid_override_pattern":null})", "layers_block_type: is missing"},
      {R"({"layers_block_type":["mamba","rnn"]})", "layers_block_type: \"rnn\" is no kind of layer"},
      {R"({"layers_block_type":[]})", "layers_block_type: a list is no list of 1"},
      {R"({"layers_block_type":"M"})", "layers_block_type: \"M\" is no list"},
      {R"({"mamba_num_heads":null})", "mamba_num_heads: is missing"},
      {R"({"n_groups":3})", "n_groups: 3 does not divide mamba_num_heads 8"},
      {R"({"mamba_head_dim":16777216})", "mamba_num_heads x mamba_head_dim"},
      {R"({"conv_kernel":1})", "conv_kernel: 1"},
      {R"({"time_step_limit":[1,0]})", "time_step_limit"},
      {R"({"time_step_limit":[0,NaN]})", "time_step_limit"},
      {R"({"time_step_limit":3})", "time_step_limit"},
      {R"({"intermediate_size":[1,2,3]})", "intermediate_size: 3 entries, want 1 or 2"},
      {R"({"intermediate_size":[1,0]})", "intermediate_size: 0"},
      {R"({"num_key_value_heads":3})", "num_key_value_heads: 3"},
      {R"({"attention_bias":true})", "attention_bias"},
      {R"({"num_experts_per_tok":9})", "num_experts_per_tok: 9 is more than the 4 experts"},
      {R"({"n_group":3})", "n_group: 3 does not divide n_routed_experts 8"},
      {R"({"topk_group":3})", "topk_group: 3 is more than n_group 2"},
      {R"({"n_routed_experts":null})", "n_routed_experts"},
      {R"({"moe_latent_size":0})", "moe_latent_size: 0"},
      {R"({"routed_scaling_factor":"x"})", "routed_scaling_factor"},
      {R"({"mlp_hidden_act":"silu"})", "mlp_hidden_act: want relu2"},
      {R"({"mamba_hidden_act":"gelu"})", "mamba_hidden_act: want silu"},
      {R"({"sliding_window":128})", "sliding_window"},
      {R"({"block_configs":[]})", "block_configs"},
      {R"({"num_nextn_predict_layers":17})", "num_nextn_predict_layers: 17"},
      {R"({"layer_norm_epsilon":2})", "layer_norm_epsilon: 2"},
  };
  for (const Bad& bad : cases) {
    const auto c = NemotronH(bad.patch);
    ASSERT_FALSE(c.ok()) << bad.patch;
    EXPECT_THAT(c.status().message(), HasSubstr(std::string("m/config.json: ") + bad.message)) << bad.patch;
  }
}

TEST(Mamba2Config, RefusesBadFieldsByName) {
  const Bad cases[] = {
      {R"({"num_heads":null})", "num_heads: is missing"},
      {R"({"n_groups":3})", "n_groups: 3 does not divide num_heads 8"},
      {R"({"expand":3})", "expand: 3 x hidden_size 64 is not num_heads x head_dim 128"},
      {R"({"rms_norm":false})", "rms_norm: want true"},
      {R"({"hidden_act":"gelu"})", "hidden_act: want silu"},
  };
  for (const Bad& bad : cases) {
    const auto c = ParseMamba2Config(Config("mamba2", bad.patch), Json::object(), "m/config.json");
    ASSERT_FALSE(c.ok()) << bad.patch;
    EXPECT_THAT(c.status().message(), HasSubstr(std::string("m/config.json: ") + bad.message)) << bad.patch;
  }
  EXPECT_THAT(ParseMamba2Config(Config("mamba2"), Json::object(), "m/config.json")->unknown_fields, IsEmpty());
}

TEST(BloomConfig, RefusesBadFieldsByName) {
  const Bad cases[] = {
      {R"({"n_head":5})", "n_head: 5 does not divide hidden_size 48"},
      {R"({"n_layer":0})", "n_layer: 0"},
      {R"({"apply_residual_connection_post_layernorm":true})", "apply_residual_connection_post_layernorm: want false"},
  };
  for (const Bad& bad : cases) {
    const auto c = ParseBloomConfig(Config("bloom", bad.patch), Json::object(), "m/config.json");
    ASSERT_FALSE(c.ok()) << bad.patch;
    EXPECT_THAT(c.status().message(), HasSubstr(std::string("m/config.json: ") + bad.message)) << bad.patch;
  }
  EXPECT_THAT(ParseBloomConfig(Config("bloom"), Json::object(), "m/config.json")->unknown_fields, IsEmpty());
}

// A llama file with `extra` metadata entries and a tensor of frequency divisors.
absl::StatusOr<LlamaConfig> GgufLlama(const std::string& extra, uint64_t num_extra, uint32_t heads = 4) {
  const std::string metadata = GgufString("general.architecture", "llama") + GgufU32("llama.vocab_size", 32) +
                               GgufU32("llama.embedding_length", 64) + GgufU32("llama.feed_forward_length", 96) +
                               GgufU32("llama.block_count", 2) + GgufU32("llama.context_length", 128) +
                               GgufU32("llama.attention.head_count", heads) +
                               GgufU32("llama.attention.head_count_kv", 2) +
                               GgufF32("llama.attention.layer_norm_rms_epsilon", 1e-5f) +
                               GgufU32("tokenizer.ggml.eos_token_id", 2) + GgufU32("tokenizer.ggml.bos_token_id", 1);
  const TestFolder folder;
  const std::string bytes =
      GgufBytes(11 + num_extra, metadata + extra, 1, GgufInfo("rope_freqs.weight", {8}, 0, 0), 32);
  const auto checkpoint = Checkpoint::Open(folder.Write("m.gguf", bytes));
  if (!checkpoint.ok()) return checkpoint.status();
  return ReadLlamaConfig(**checkpoint);
}

TEST(LlamaConfig, RefusesGgufFrequencyDivisorsOutOfRange) {
  // Every byte of the written divisors is 1: 0x01010101 is far below what a divisor may be.
  EXPECT_THAT(GgufLlama("", 0).status().message(), HasSubstr("rope_freqs.weight: a divisor"));
}

TEST(LlamaConfig, RefusesGgufKeysByName) {
  const auto bad_heads = GgufLlama("", 0, 5);
  EXPECT_THAT(bad_heads.status().message(), HasSubstr("llama.attention.head_count: 5"));
  EXPECT_THAT(GgufLlama(GgufU32("llama.expert_count", 8), 1).status().message(), HasSubstr("llama.expert_count: 8"));
  EXPECT_THAT(GgufLlama(GgufU32("llama.rope.dimension_count", 8), 1).status().message(),
              HasSubstr("llama.rope.dimension_count: 8"));
  EXPECT_THAT(GgufLlama(GgufU32("llama.attention.value_length", 8), 1).status().message(),
              HasSubstr("llama.attention.value_length"));
}

TEST(LlamaConfig, AWholeGgufLlama) {
  const std::string metadata = GgufString("general.architecture", "llama") + GgufU32("llama.vocab_size", 32) +
                               GgufU32("llama.embedding_length", 64) + GgufU32("llama.feed_forward_length", 96) + GgufU32("llama.block_count", 2) +
                               GgufU32("llama.context_length", 128) + GgufU32("llama.attention.head_count", 4) +
                               GgufF32("llama.rope.freq_base", 500'000.0f) + GgufU32("llama.novelty", 1) +
                               GgufU32("tokenizer.ggml.eos_token_id", 2) + GgufU32("tokenizer.ggml.eot_token_id", 5);
  const TestFolder folder;
  const std::string bytes = GgufBytes(11, metadata, 1, GgufInfo("blk.0.attn_q.bias", {64}, 0, 0), 256);
  const auto checkpoint = Checkpoint::Open(folder.Write("m.gguf", bytes));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto c = ReadLlamaConfig(**checkpoint);
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->num_kv_heads, 4);
  EXPECT_EQ(c->head_dim, 16);
  EXPECT_TRUE(c->rope.adjacent_pairs);
  EXPECT_EQ(c->rope.theta, 500'000.0f);
  EXPECT_TRUE(c->tie_word_embeddings);
  EXPECT_TRUE(c->attention_bias);
  EXPECT_THAT(c->eos_token_ids, ElementsAre(2, 5));
  EXPECT_FALSE(c->bos_token_id.has_value());
  EXPECT_THAT(c->unknown_fields, ElementsAre("llama.novelty"));
}

}  // namespace
}  // namespace braid
