#include "models/weights/quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Parsed(const std::string& text) {
  auto json = ParseJson(text);
  CHECK(json.ok()) << json.status();
  return *std::move(json);
}

// What a config.json with this quantization_config says.
absl::StatusOr<Quantization> Config(const std::string& object) {
  return ParseQuantization(Parsed(R"({"quantization_config":)" + object + "}"), Json::object(), "m");
}
absl::StatusOr<Quantization> HfQuant(const std::string& object) {
  return ParseQuantization(Json::object(), Parsed(R"({"quantization":)" + object + "}"), "m");
}

TEST(Quantization, ReadsWhatTheToolsWrite) {
  const auto none = ParseQuantization(Json::object(), Json::object(), "m");
  EXPECT_TRUE(none->where.empty());
  EXPECT_TRUE(none->Check("x", DType::kNVFP4).ok());
  const struct {
    const char* object;
    DType format;
  } cases[] = {
      {R"({"quant_method":"modelopt","quant_algo":"FP8","ignore":["lm_head"],
          "kv_cache_scheme":{"num_bits":8,"type":"float"}})",
       DType::kF8E4M3},
      {R"({"quant_method":"modelopt_fp4","quant_algo":"NVFP4","group_size":16})", DType::kNVFP4},
      {R"({"quant_method":"modelopt","quant_algo":"W4A16_NVFP4","kv_cache_quant_algo":null})", DType::kNVFP4},
      {R"({"quant_method":"fp8","fmt":"e4m3","weight_block_size":[128,128],"activation_scheme":"dynamic"})",
       DType::kF8E4M3},
      {R"({"quant_method":"mxfp4","modules_to_not_convert":["a"]})", DType::kMXFP4},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":8,"type":"float","strategy":"channel"}}}})",
       DType::kF8E4M3},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":4,"type":"float","strategy":"tensor_group","group_size":16}}},
          "sparsity_config":{},"transform_config":null})",
       DType::kNVFP4},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
          {"num_bits":4,"type":"float","strategy":"group","group_size":32}}}})",
       DType::kMXFP4},
  };
  for (const auto& [object, format] : cases) {
    const auto read = Config(object);
    ASSERT_TRUE(read.ok()) << read.status() << object;
    EXPECT_THAT(read->formats, ElementsAre(format)) << object;
    EXPECT_TRUE(read->Check("layer", format).ok());
    EXPECT_FALSE(read->Check("layer", format == DType::kNVFP4 ? DType::kMXFP4 : DType::kNVFP4).ok());
  }
}

TEST(Quantization, KnowsHowIntegersArePacked) {
  using Packing = Quantization::Packing;
  const std::string compressed = R"({"quant_method":"compressed-tensors","format":"pack-quantized",
      "config_groups":{"g":{"weights":{"type":"int",)";
  const struct {
    std::string object;
    Packing packing;
    bool symmetric;
    int64_t group;
    std::set<DType> formats;
  } cases[] = {
      {R"({"quant_method":"gptq","bits":4,"group_size":128,"desc_act":true,"dynamic":null})", Packing::kGptq, true, 128,
       {DType::kInt4}},
      {R"({"quant_method":"gptq","bits":8,"group_size":-1,"sym":false,"checkpoint_format":"gptq_v2"})",
       Packing::kGptqV2, false, -1, {DType::kInt8}},
      {R"({"quant_method":"gptq","bits":4,"dynamic":{"lm_head":{"bits":8}}})", Packing::kGptq, true, -1,
       {DType::kInt4, DType::kInt8}},
      {R"({"quant_method":"awq","w_bit":4,"q_group_size":64,"version":"GEMM","zero_point":true})", Packing::kAwq,
       false, 64, {DType::kInt4}},
      {compressed + R"("num_bits":4,"strategy":"group","group_size":32}}}})", Packing::kCompressed, true, 32,
       {DType::kInt4}},
      {compressed + R"("num_bits":8,"strategy":"channel","symmetric":false}}}})", Packing::kCompressed, false, -1,
       {DType::kInt8}},
  };
  for (const auto& c : cases) {
    const auto read = Config(c.object);
    ASSERT_TRUE(read.ok()) << read.status() << c.object;
    EXPECT_EQ(read->integers.packing, c.packing) << c.object;
    EXPECT_EQ(read->integers.symmetric, c.symmetric) << c.object;
    EXPECT_EQ(read->integers.group, c.group) << c.object;
    EXPECT_EQ(read->formats, c.formats) << c.object;
  }
}

TEST(Quantization, MixedPrecisionListsItsLayers) {
  const auto read = HfQuant(R"({"quant_algo":"MIXED_PRECISION","kv_cache_quant_algo":"FP8","exclude_modules":["mtp*"],
      "quantized_layers":{"a.b":{"quant_algo":"FP8"},"c":{"quant_algo":"NVFP4","group_size":16}}})");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->formats.size(), 2u);
  EXPECT_TRUE(read->Check("a.b", DType::kF8E4M3).ok());
  EXPECT_TRUE(read->Check("model.a.b", DType::kNVFP4).ok());  // not listed: one of the formats there are
  EXPECT_THAT(read->Check("a.b", DType::kNVFP4).message(),
              HasSubstr("a.b: is stored as NVFP4; m/hf_quant_config.json: quantization says F8_E4M3"));
}

TEST(Quantization, TheCacheAloneMayBeQuantized) {
  const auto read = HfQuant(R"({"quant_algo":null,"kv_cache_quant_algo":"FP8","exclude_modules":["lm_head"]})");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->formats.empty());
  EXPECT_FALSE(HfQuant(R"({"quant_algo":null})").ok());
}

TEST(Quantization, RemembersTheShapeOfScaleBlocks) {
  const auto read = Config(R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":
      {"num_bits":8,"type":"float","strategy":"block","block_structure":[64,32]}}}})");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->blocks.back().rows, 64);
  EXPECT_EQ(read->blocks.back().cols, 32);
}

TEST(Quantization, RefusesWhatItCannotComputeNamingTheField) {
  const char* ct = R"({"quant_method":"compressed-tensors","config_groups":{"g":{"weights":)";
  const struct {
    std::string object;
    const char* message;
  } cases[] = {
      {R"({"quant_method":"aqlm"})", "quantization_config: quant_method: \"aqlm\" is not supported"},
      {R"({"quant_method":"gptq"})", "quantization_config: bits"},
      {R"({"quant_method":"gptq","bits":3})", "bits: 3 is not supported, want 4 or 8"},
      {R"({"quant_method":"gptq","bits":4,"group_size":16})", "group_size: 16 is not supported, want -1 or a multiple"},
      {R"({"quant_method":"gptq","bits":4,"checkpoint_format":"marlin"})",
       "checkpoint_format: \"marlin\" is not supported, want gptq or gptq_v2"},
      {R"({"quant_method":"gptq","bits":4,"is_marlin_format":true})", "is_marlin_format: true"},
      {R"({"quant_method":"gptq","bits":4,"pack_dtype":"int8"})", "pack_dtype: \"int8\""},
      {R"({"quant_method":"gptq","bits":4,"dynamic":[]})", "dynamic"},
      {R"({"quant_method":"awq","bits":8})", "bits: 8 is not supported, want 4"},
      {R"({"quant_method":"awq","bits":4,"version":"GEMV"})", "version: \"gemv\" is not supported, want gemm"},
      {R"({"quant_method":"awq","bits":4,"modules_to_not_convert":"x"})", "modules_to_not_convert"},
      {"{}", "quant_method: \"\""},
      {"7", "quantization_config: 7 is no object"},
      {R"({"quant_method":"modelopt","quant_algo":"W4A16_AWQ"})",
       "quant_algo: \"W4A16_AWQ\" is not supported, want FP8"},
      {R"({"quant_method":"modelopt","quant_algo":"MXFP8"})", "quant_algo: \"MXFP8\""},
      {R"({"quant_method":"modelopt","quant_algo":8})", "quant_algo: 8 is no string"},
      {R"({"quant_method":"modelopt","quant_algo":"NVFP4","group_size":32})",
       "group_size: 32 is not supported for NVFP4"},
      {R"({"quant_method":"modelopt","quant_algo":"FP8","ignore":[1]})", "ignore"},
      {R"({"quant_method":"modelopt","quant_algo":"FP8","kv_cache_quant_algo":"INT2"})",
       "kv_cache_quant_algo: \"INT2\""},
      {R"({"quant_method":"modelopt","quant_algo":"FP8","kv_cache_scheme":{"num_bits":2}})", "kv_cache_scheme: 2 bits"},
      {R"({"quant_method":"modelopt","quant_algo":"MIXED_PRECISION","quantized_layers":{"a":{"quant_algo":"INT4"}}})",
       "quantized_layers.a: quant_algo: \"INT4\""},
      {R"({"quant_method":"modelopt","quant_algo":"MIXED_PRECISION","quantized_layers":{"a":3}})",
       "quantized_layers.a: 3"},
      {R"({"quant_method":"compressed-tensors"})", "config_groups: is missing"},
      {R"({"quant_method":"compressed-tensors","config_groups":{"g":{}}})", "config_groups.g: has no weights"},
      {std::string(ct) + R"({"num_bits":3,"type":"int","strategy":"group","group_size":128}}}})", "weights: 3-bit int"},
      {std::string(ct) + R"({"type":"float"}}}})", "num_bits"},
      {std::string(ct) + R"({"num_bits":8,"type":"float","strategy":"block","block_structure":[0,1]}}}})",
       "block_structure"},
      {std::string(ct) + R"({"num_bits":8,"type":"float","strategy":"tensor"}}},"transform_config":{"a":1}})",
       "transform_config"},
      {std::string(ct) +
           R"({"num_bits":8,"type":"float","strategy":"tensor"}}},"sparsity_config":{"format":"sparse"}})",
       "sparsity_config"},
      {R"({"quant_method":"fp8","fmt":"e5m2"})", "fmt: \"e5m2\""},
      {R"({"quant_method":"fp8","weight_block_size":[128]})", "weight_block_size"},
  };
  for (const auto& [object, message] : cases) {
    const auto read = Config(object);
    ASSERT_FALSE(read.ok()) << object;
    EXPECT_THAT(read.status().message(), HasSubstr("m/config.json: ")) << object;
    EXPECT_THAT(read.status().message(), HasSubstr(message)) << object;
  }
  EXPECT_THAT(HfQuant("[]").status().message(), HasSubstr("m/hf_quant_config.json: quantization: a list is no object"));
  EXPECT_THAT(HfQuant(R"({"quant_algo":"X"})").status().message(),
              HasSubstr("m/hf_quant_config.json: quantization: quant_algo"));
}

TEST(Quantization, SurvivesRandomMutations) {
  const std::string whole[] = {
      R"({"quant_method":"modelopt","quant_algo":"MIXED_PRECISION","ignore":["a","mtp*"],"kv_cache_scheme":{"num_bits":8},)"
      R"("quantized_layers":{"a.b":{"quant_algo":"FP8"},"c":{"quant_algo":"NVFP4","group_size":16}}})",
      R"({"quant_method":"compressed-tensors","format":"x","ignore":["a"],"config_groups":{"g":{"targets":["Linear"],)"
      R"("weights":{"num_bits":8,"type":"float","strategy":"block","block_structure":[128,128],"group_size":null}}}})"};
  std::mt19937 random(7);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = whole[round % 2];
    for (uint32_t edits = random() % 3 + 1; edits > 0; --edits) {
      const size_t at = random() % text.size(), kind = random() % 4;
      constexpr char kLikely[] = "{}[]\",:0189-+.enulltruefalse";
      if (kind == 0) text.erase(at, random() % 8);
      if (kind == 1) text[at] = static_cast<char>(random());
      if (kind >= 2) text.insert(at, 1, kLikely[random() % (sizeof(kLikely) - 1)]);
      if (text.empty()) text.push_back('0');
    }
    const auto json = ParseJson(text);
    if (!json.ok()) continue;
    Json config = Json::object();
    config["quantization_config"] = *json;
    read += ParseQuantization(config, Json::object(), "m").ok() ? 1 : 0;
    Json beside = Json::object();
    beside["quantization"] = *json;
    (void)ParseQuantization(Json::object(), beside, "m").ok();
  }
  EXPECT_GT(read, 100);
}

TEST(Quantization, ReadsRealFoldersAndCountsTheirFormats) {
  const struct {
    const char* name;
    std::vector<const char*> formats;
  } cases[] = {{"nemotron_h_fp8", {"BF16", "F32", "FP8"}},
               {"nemotron_h_nvfp4", {"BF16", "F32", "NVFP4"}},
               {"nemotron_h_mixed", {"BF16", "F32", "FP8", "NVFP4"}},
               {"llama_ct_fp8", {"BF16", "FP8"}},
               {"llama_ct_nvfp4", {"BF16", "F32", "NVFP4"}}};
  for (const auto& [name, formats] : cases) {
    const auto checkpoint = Checkpoint::Open(std::string(BRAID_SOURCE_DIR "/tests/data/models/") + name);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto read = ReadQuantization(**checkpoint);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_FALSE(read->where.empty());
    int64_t bytes = 0;
    std::vector<std::string> found;
    for (const FormatBytes& format : BytesByFormat(**checkpoint)) {
      bytes += format.bytes;
      found.push_back(format.format);
      if (format.format != "NVFP4") continue;
      EXPECT_NEAR(1.0 * format.bytes / format.parameters, 4.5 / 8, 0.01);
    }
    EXPECT_EQ(found, std::vector<std::string>(formats.begin(), formats.end())) << name;
    EXPECT_EQ(bytes, (*checkpoint)->TotalBytes());
  }
}

}  // namespace
}  // namespace braid
