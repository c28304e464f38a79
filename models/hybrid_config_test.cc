// The configurations of Bamba, Falcon-H1, Granite, and of models whose blocks have shapes of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/model_config.h"
#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json Config(const std::string& name, const std::string& patch = "{}") {
  Json config = *ParseJson(ReadBytes(BRAID_SOURCE_DIR "/tests/data/models/" + name + "/config.json"));
  config.merge_patch(*ParseJson(patch));
  return config;
}

absl::StatusOr<HybridConfig> Hybrid(const std::string& name, const std::string& patch = "{}") {
  return ParseHybridConfig(Config(name, patch), Json::object(), "m/config.json");
}

struct Bad {
  const char *model, *patch, *message;
};

TEST(HybridConfig, ReadsWhatEachModelSaysItsOwnWay) {
  const auto bamba = Hybrid("bamba");
  ASSERT_TRUE(bamba.ok()) << bamba.status();
  EXPECT_THAT(bamba->layers, ElementsAre(LayerKind::kMamba, LayerKind::kAttention, LayerKind::kMamba, LayerKind::kAttention));
  EXPECT_EQ(bamba->rope.partial, 0.5f);
  EXPECT_EQ(bamba->mamba.head_dim, 16);  // "auto"
  EXPECT_THAT(bamba->unknown_fields, IsEmpty());

  const auto granite = Hybrid("granitemoehybrid");
  ASSERT_TRUE(granite.ok()) << granite.status();
  EXPECT_EQ(granite->rope.kind, RopeKind::kNone);
  EXPECT_EQ(granite->moe.num_experts, 6);
  EXPECT_EQ(granite->intermediate_size, 80);
  EXPECT_EQ(granite->score_scale, 0.2f);
  EXPECT_FLOAT_EQ(granite->logits_factor, 1 / 1.5f);
  EXPECT_THAT(granite->unknown_fields, IsEmpty());
  EXPECT_EQ(Hybrid("granitemoehybrid_dense")->rope.kind, RopeKind::kDefault);
  EXPECT_EQ(Hybrid("granitemoehybrid_dense")->moe.num_experts, 0);
  EXPECT_EQ(Hybrid("granite")->moe.num_experts, 0);

  const auto falcon = Hybrid("falcon_h1");
  ASSERT_TRUE(falcon.ok()) << falcon.status();
  EXPECT_EQ(falcon->mamba.gate_place, GatePlace::kWithoutNorm);
  EXPECT_FLOAT_EQ(falcon->mamba.in_factors[4], 1.25f * 1.2f);
  EXPECT_FLOAT_EQ(falcon->key_factor, 1.3f * 0.7f);
  EXPECT_THAT(falcon->unknown_fields, IsEmpty());
  EXPECT_EQ(Hybrid("falcon_h1_norm")->mamba.gate_place, GatePlace::kBehindNorm);
  EXPECT_EQ(Hybrid("falcon_h1_gate")->mamba.gate_place, GatePlace::kBeforeNorm);
}

TEST(HybridConfig, RefusesBadFieldsByName) {
  const Bad cases[] = {
      {"bamba", R"({"attn_layer_indices":[4]})", "attn_layer_indices: 4 is no layer in 0..3"},
      {"bamba", R"({"attn_layer_indices":"all"})", "attn_layer_indices: \"all\" is no list"},
      {"bamba", R"({"attn_rotary_emb":16})", "attn_rotary_emb: 16, want half of head_dim 16"},
      {"bamba", R"({"mamba_d_head":24})", "mamba_d_head: 24 x mamba_n_heads 8 is not the inner size 128"},
      {"bamba", R"({"mamba_n_groups":3})", "mamba_n_groups: 3 does not divide mamba_n_heads 8"},
      {"bamba", R"({"mlp_bias":true})", "mlp_bias: want false"},
      {"granite", R"({"residual_multiplier":0})", "residual_multiplier: 0"},
      {"granite", R"({"logits_scaling":-1})", "logits_scaling: -1"},
      {"granitemoe", R"({"layer_types":["mamba","attention","attention"]})", "layer_types: names mamba"},
      {"granitemoe", R"({"num_experts_per_tok":7})", "num_experts_per_tok: 7 of 6 experts"},
      {"granitemoehybrid", R"({"layer_types":["mamba"]})", "layer_types: is no list of 4 layers"},
      {"granitemoehybrid", R"({"layer_types":["mamba","mlp","mamba","mamba"]})", "layer_types: \"mlp\" is neither"},
      {"granitemoehybrid", R"({"position_embedding_type":"alibi"})", "position_embedding_type: want rope, nope or null"},
      {"granitemoehybrid", R"({"num_local_experts":0,"shared_intermediate_size":0})", "shared_intermediate_size: 0"},
      {"falcon_h1", R"({"ssm_multipliers":[1,1,1,1]})", "ssm_multipliers: is no list of 5 numbers"},
      {"falcon_h1", R"({"mlp_multipliers":[1,"x"]})", "mlp_multipliers: \"x\" is no number"},
      {"falcon_h1", R"({"projectors_bias":true})", "projectors_bias: want false"},
      {"falcon_h1", R"({"block_configs":[]})", "block_configs: is not supported"},
  };
  for (const Bad& bad : cases) {
    const auto c = Hybrid(bad.model, bad.patch);
    ASSERT_FALSE(c.ok()) << bad.patch;
    EXPECT_THAT(c.status().message(), HasSubstr(std::string("m/config.json: ") + bad.message)) << bad.patch;
  }
}

TEST(NemotronHConfig, APuzzlesBlocksHaveTheirOwnExperts) {
  const auto parse = [](const std::string& patch) {
    return ParseNemotronHConfig(Config("nemotron_h_puzzle", patch), Json::object(), "m/config.json");
  };
  const auto c = parse("{}");
  ASSERT_TRUE(c.ok()) << c.status();
  ASSERT_EQ(c->moes.size(), 3u);
  EXPECT_EQ(c->moes[0].num_experts, 8);
  EXPECT_EQ(c->moes[1].num_experts, 12);
  EXPECT_EQ(c->moes[1].top_k, 4);
  EXPECT_EQ(c->moes[2].latent_size, 32);
  EXPECT_THAT(c->mlp.intermediate_sizes, ElementsAre(96));
  EXPECT_THAT(c->unknown_fields, IsEmpty());
  const Bad cases[] = {
      {"", R"({"block_configs":7})", "block_configs: is no list of blocks"},
      {"", R"({"block_configs":[{"block_type":"conv"}]})", "block_configs.block_type: \"conv\" is no kind of layer"},
      {"", R"({"block_configs":[5]})", "block_configs.block_type: null is no kind of layer"},
      {"", R"({"block_configs":[{"block_type":"attention","head_dim":8}]})", "block_configs.head_dim: 8 is not supported"},
      {"", R"({"block_configs":[{"block_type":"moe","n_routed_experts":0}]})", "block_configs[0]: n_routed_experts: 0"},
      {"", R"({"block_configs":[{"block_type":"moe","num_experts_per_tok":9}]})", "block_configs[0]: num_experts_per_tok: 9"},
  };
  for (const Bad& bad : cases) {
    ASSERT_FALSE(parse(bad.patch).ok()) << bad.patch;
    EXPECT_THAT(parse(bad.patch).status().message(), HasSubstr(std::string("m/config.json: ") + bad.message));
  }
}

TEST(NemotronNasConfig, ReadsEachBlocksShapes) {
  using Part = NemotronNasConfig::Part;
  const auto parse = [](const Json& config) { return ParseNemotronNasConfig(config, Json::object(), "m/config.json"); };
  const Json config = Config("nemotron_nas");
  const auto c = parse(config);
  ASSERT_TRUE(c.ok()) << c.status();
  ASSERT_EQ(c->blocks.size(), 5u);
  EXPECT_EQ(c->blocks[0].num_kv_heads, 2);
  EXPECT_EQ(c->blocks[0].intermediate_size, 256);  // 2 * 3.0 * 64 / 3 = 128
  EXPECT_EQ(c->blocks[4].intermediate_size, 512);  // 277
  EXPECT_EQ(c->blocks[1].attention, Part::kNone);
  EXPECT_EQ(c->blocks[2].mlp, Part::kNone);
  EXPECT_EQ(c->blocks[3].attention, Part::kMatrix);
  EXPECT_EQ(c->blocks[3].mlp, Part::kMatrix);
  const auto message = [&](const char* part, const Json& patch) {
    Json bad = config;
    bad["block_configs"][0][part].merge_patch(patch);
    const auto parsed = parse(bad);
    return parsed.ok() ? std::string("accepted") : std::string(parsed.status().message());
  };
  EXPECT_THAT(message("attention", {{"n_heads_in_group", 3}}), HasSubstr("m/config.json: block_configs[0].attention: n_heads_in_group: 3 does not divide"));
  EXPECT_THAT(message("attention", {{"no_op", true}, {"replace_with_linear", true}}), HasSubstr("attention: no_op: true, and"));
  EXPECT_THAT(message("attention", {{"window_length", 128}}), HasSubstr("attention: window_length: want null"));
  EXPECT_THAT(message("ffn", {{"ffn_mult", nullptr}}), HasSubstr("ffn: ffn_mult: is missing"));
  EXPECT_THAT(message("ffn", {{"hidden_act", "gelu"}}), HasSubstr("ffn: hidden_act: want silu"));
  Json few = config;
  few["num_hidden_layers"] = 4;
  EXPECT_THAT(std::string(parse(few).status().message()), HasSubstr("block_configs: is no list of 4 layers"));
}

}  // namespace
}  // namespace braid
