#include "models/weights/quantization.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "models/weights/checked_size.h"
#include "models/weights/config_fields.h"

namespace braid {
namespace {

constexpr int64_t kMaxBlock = 65'536;
constexpr const char* kAlgorithms =
    "want FP8, FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, NVFP4, W4A16_NVFP4, MXFP4 or MIXED_PRECISION";

// What a quant_algo of ModelOpt stores; activations stay as they are.
std::optional<DType> FormatNamed(std::string_view algorithm) {
  for (std::string_view name : {"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "W8A16_FP8"}) {
    if (algorithm == name) return DType::kF8E4M3;
  }
  if (algorithm == "NVFP4" || algorithm == "W4A16_NVFP4") return DType::kNVFP4;
  if (algorithm == "MXFP4") return DType::kMXFP4;
  return std::nullopt;
}

// A list of names, or absent.
void CheckNames(ConfigFields& fields, ConfigFields::Names names) {
  const Json* list = fields.Find(names);
  if (list == nullptr) return;
  const bool texts =
      list->is_array() && std::all_of(list->begin(), list->end(), [](const Json& one) { return one.is_string(); });
  if (!texts) fields.Fail(*names.begin(), absl::StrCat(Shown(*list), " is no list of names"));
}

// An object, or null where there is none.
const Json* ObjectOr(ConfigFields& fields, std::string_view name) {
  const Json* value = fields.Find({name});
  if (value == nullptr || value->is_object()) return value;
  fields.Fail(name, absl::StrCat(Shown(*value), " is no object"));
  return nullptr;
}

// [rows, cols], or absent.
void ReadBlock(ConfigFields& fields, std::string_view name, Quantization* out) {
  const Json* block = fields.Find({name});
  if (block == nullptr) return;
  const auto fits = [](const Json& size) {
    return size.is_number_integer() && size.get<double>() >= 1 && size.get<double>() <= kMaxBlock;
  };
  if (!block->is_array() || block->size() != 2 || !fits((*block)[0]) || !fits((*block)[1])) {
    return fields.Fail(name, absl::StrCat(Shown(*block), " is no [rows, columns] in 1..", kMaxBlock));
  }
  out->blocks.push_back({(*block)[0].get<int64_t>(), (*block)[1].get<int64_t>()});
}

// Group sizes other than the format's own are other formats.
void CheckGroup(ConfigFields& fields, DType format) {
  const std::optional<int64_t> size = fields.OptionalInt({"group_size"}, -1, kMaxBlock);
  const int64_t wanted = format == DType::kNVFP4 ? 16 : format == DType::kMXFP4 ? 32 : 0;
  if (!size.has_value() || *size <= 0 || wanted == 0 || *size == wanted) return;
  fields.Unsupported("group_size", absl::StrCat(*size, " is not supported for ", DTypeName(format), ", want ", wanted));
}

// ---- ModelOpt

// The format of {quant_algo, group_size}; nothing for MIXED_PRECISION.
std::optional<DType> ReadAlgorithm(ConfigFields& fields) {
  const std::string algorithm = fields.TextOr({"quant_algo"}, "");
  if (algorithm == "MIXED_PRECISION" || !fields.status().ok()) return std::nullopt;
  const std::optional<DType> format = FormatNamed(algorithm);
  if (!format.has_value()) {
    fields.Unsupported("quant_algo", absl::StrCat(Quoted(algorithm), " is not supported, ", kAlgorithms));
    return std::nullopt;
  }
  CheckGroup(fields, *format);
  return format;
}

void ReadLayers(ConfigFields& fields, Quantization* out) {
  const Json* layers = ObjectOr(fields, "quantized_layers");
  if (layers == nullptr) return;
  for (const auto& [module, layer] : layers->items()) {
    const std::string where = absl::StrCat("quantized_layers.", Printable(module));
    if (!layer.is_object()) return fields.Fail(where, absl::StrCat(Shown(layer), " is no object"));
    ConfigFields inner(layer, absl::StrCat(fields.where(), ": ", where));
    const std::optional<DType> format = ReadAlgorithm(inner);
    if (inner.status().ok() && !format.has_value()) inner.Unsupported("quant_algo", "MIXED_PRECISION within a layer");
    if (!inner.status().ok()) return fields.Adopt(inner.status());
    out->layers.emplace(module, *format);
    out->formats.insert(*format);
  }
}

void ReadModelOpt(ConfigFields& fields, Quantization* out) {
  // The K/V cache alone may be quantized.
  const bool weights =
      fields.Find({"quant_algo"}) != nullptr || fields.Find({"kv_cache_quant_algo", "kv_cache_scheme"}) == nullptr;
  const std::optional<DType> format = weights ? ReadAlgorithm(fields) : std::nullopt;
  if (format.has_value()) out->formats.insert(*format);
  ReadLayers(fields, out);
  CheckNames(fields, {"exclude_modules"});
  CheckNames(fields, {"ignore"});
  const std::string kv = fields.TextOr({"kv_cache_quant_algo"}, "FP8");
  if (kv != "FP8" && kv != "NVFP4" && kv != "none" && !kv.empty()) {
    fields.Unsupported("kv_cache_quant_algo", absl::StrCat(Quoted(kv), " is not supported, want FP8, NVFP4 or null"));
  }
}

// ---- compressed-tensors

// Inputs that share a scale: whole blocks of kernels.
void ReadIntegerGroup(ConfigFields& fields, ConfigFields::Names names, Quantization* out) {
  out->integers.group = fields.IntOr(names, -1, -1, kMaxBlock);
  if (out->integers.group == -1 || (out->integers.group > 0 && out->integers.group % 32 == 0)) return;
  fields.Unsupported(*names.begin(),
                     absl::StrCat(out->integers.group, " is not supported, want -1 or a multiple of 32"));
}

// 4- or 8-bit integers of a group or of a channel, in words.
void ReadGroupIntegers(ConfigFields& fields, int64_t bits, const std::string& strategy, Quantization* out) {
  const bool symmetric = fields.BoolOr({"symmetric"}, true);
  if (strategy == "group") ReadIntegerGroup(fields, {"group_size"}, out);
  if (out->integers.packing != Quantization::Packing::kNone && out->integers.symmetric != symmetric) {
    fields.Unsupported("symmetric", "true in one group and false in another is not supported");
  }
  out->integers.packing = Quantization::Packing::kCompressed;
  out->integers.symmetric = symmetric;
  out->formats.insert(bits == 4 ? DType::kInt4 : DType::kInt8);
}

// What {num_bits, type, strategy, group_size, block_structure} stores, if we know it.
void ReadGroupWeights(ConfigFields& fields, Quantization* out) {
  const int64_t bits = fields.Int({"num_bits"}, 1, 64);
  const std::string type = fields.TextOr({"type"}, "int"), strategy = fields.TextOr({"strategy"}, "");
  const int64_t group = fields.IntOr({"group_size"}, 0, -1, kMaxBlock);
  const bool grouped = strategy == "tensor_group" || strategy == "group";
  ReadBlock(fields, "block_structure", out);
  if (type == "int" && (bits == 4 || bits == 8) && (strategy == "group" || strategy == "channel")) {
    return ReadGroupIntegers(fields, bits, strategy, out);
  }
  if (!fields.BoolOr({"symmetric"}, true)) fields.Unsupported("symmetric", "false is not supported");
  std::optional<DType> format;
  if (type == "float" && bits == 8 && (strategy == "tensor" || strategy == "channel" || strategy == "block")) {
    format = DType::kF8E4M3;
  }
  if (type == "float" && bits == 4 && grouped && group == 16) format = DType::kNVFP4;
  if (type == "float" && bits == 4 && grouped && group == 32) format = DType::kMXFP4;
  if (format.has_value()) out->formats.insert(*format);
  if (format.has_value() || !fields.status().ok()) return;
  fields.Unsupported("weights",
                     absl::StrCat(bits, "-bit ", Printable(type), " of strategy ", Quoted(strategy), " and group_size ",
                                  group, " is not supported, want 8-bit float of tensor, channel or block, ",
                                  "4-bit float in groups of 16 or 32, or 4- or 8-bit int of group or channel"));
}

void ReadCompressedTensors(ConfigFields& fields, Quantization* out) {
  const Json* groups = ObjectOr(fields, "config_groups");
  if (groups == nullptr) return fields.Fail("config_groups", "is missing");
  for (const auto& [name, group] : groups->items()) {
    const std::string where = absl::StrCat(fields.where(), ": config_groups.", Printable(name));
    const Json* weights = group.is_object() && group.contains("weights") ? &group["weights"] : nullptr;
    if (weights == nullptr || !weights->is_object())
      return fields.Fail(absl::StrCat("config_groups.", Printable(name)), "has no weights");
    ConfigFields inner(*weights, absl::StrCat(where, ".weights"));
    ReadGroupWeights(inner, out);
    if (!inner.status().ok()) return fields.Adopt(inner.status());
  }
  CheckNames(fields, {"ignore"});
  if (const Json* transform = ObjectOr(fields, "transform_config"); transform != nullptr && !transform->empty()) {
    fields.Unsupported("transform_config", "is not supported, want none");
  }
  if (const Json* sparsity = ObjectOr(fields, "sparsity_config"); sparsity != nullptr && !sparsity->empty()) {
    ConfigFields inner(*sparsity, absl::StrCat(fields.where(), ": sparsity_config"));
    if (inner.TextOr({"format"}, "dense") != "dense")
      fields.Unsupported("sparsity_config", "is not supported, want dense");
  }
}

// ---- GPTQ and AWQ

// A text that must be one of `known`; the first where there is none.
std::string OneOf(ConfigFields& fields, ConfigFields::Names names, const std::vector<std::string>& known) {
  const std::string text = absl::AsciiStrToLower(fields.TextOr(names, known[0]));
  if (std::find(known.begin(), known.end(), text) == known.end()) {
    fields.Unsupported(*names.begin(),
                       absl::StrCat(Quoted(text), " is not supported, want ", absl::StrJoin(known, " or ")));
  }
  return text;
}

void ReadGptq(ConfigFields& fields, Quantization* out) {
  const int64_t bits = fields.Int({"bits"}, 1, 64);
  if (bits != 4 && bits != 8) fields.Unsupported("bits", absl::StrCat(bits, " is not supported, want 4 or 8"));
  out->formats.insert(bits == 4 ? DType::kInt4 : DType::kInt8);
  // Layers of their own bits: their tensors say which.
  const Json* own = ObjectOr(fields, "dynamic");
  if (own != nullptr && !own->empty()) out->formats.insert({DType::kInt4, DType::kInt8});
  const std::string format = OneOf(fields, {"checkpoint_format", "format"}, {"gptq", "gptq_v2"});
  out->integers.packing = format == "gptq" ? Quantization::Packing::kGptq : Quantization::Packing::kGptqV2;
  out->integers.symmetric = fields.BoolOr({"sym"}, true);
  ReadIntegerGroup(fields, {"group_size"}, out);
  OneOf(fields, {"pack_dtype"}, {"int32"});
  if (fields.BoolOr({"is_marlin_format"}, false)) fields.Unsupported("is_marlin_format", "true is not supported");
}

void ReadAwq(ConfigFields& fields, Quantization* out) {
  const int64_t bits = fields.Int({"bits", "w_bit"}, 1, 64);
  if (bits != 4) fields.Unsupported("bits", absl::StrCat(bits, " is not supported, want 4"));
  out->formats.insert(DType::kInt4);
  OneOf(fields, {"version", "checkpoint_format", "format"}, {"gemm"});
  out->integers.packing = Quantization::Packing::kAwq;
  out->integers.symmetric = !fields.BoolOr({"zero_point"}, true);
  ReadIntegerGroup(fields, {"group_size", "q_group_size"}, out);
  CheckNames(fields, {"modules_to_not_convert"});
}

// ---- both

// The K/V cache has its own type; scales for it are read and left.
void CheckKvScheme(ConfigFields& fields) {
  const Json* scheme = ObjectOr(fields, "kv_cache_scheme");
  if (scheme == nullptr) return;
  ConfigFields inner(*scheme, absl::StrCat(fields.where(), ": kv_cache_scheme"));
  const int64_t bits = inner.IntOr({"num_bits"}, 8, 1, 64);
  if (!inner.status().ok()) return fields.Adopt(inner.status());
  if (bits != 8 && bits != 4) fields.Unsupported("kv_cache_scheme", absl::StrCat(bits, " bits, want 8 or 4"));
}

void ReadFp8(ConfigFields& fields, Quantization* out) {
  const std::string format = fields.TextOr({"fmt"}, "e4m3");
  if (format != "e4m3") fields.Unsupported("fmt", absl::StrCat(Quoted(format), " is not supported, want e4m3"));
  ReadBlock(fields, "weight_block_size", out);
  CheckNames(fields, {"modules_to_not_convert"});
  out->formats.insert(DType::kF8E4M3);
}

absl::Status ReadConfigJson(const Json& object, const std::string& where, Quantization* out) {
  ConfigFields fields(object, where);
  const std::string method = fields.TextOr({"quant_method"}, "");
  if (!fields.status().ok()) return fields.status();
  if (absl::StartsWith(method, "modelopt")) {
    ReadModelOpt(fields, out);
  } else if (method == "compressed-tensors") {
    ReadCompressedTensors(fields, out);
  } else if (method == "fp8") {
    ReadFp8(fields, out);
  } else if (method == "mxfp4") {
    CheckNames(fields, {"modules_to_not_convert"});
    out->formats.insert(DType::kMXFP4);
  } else if (method == "gptq") {
    ReadGptq(fields, out);
  } else if (method == "awq") {
    ReadAwq(fields, out);
  } else {
    fields.Unsupported("quant_method", absl::StrCat(Quoted(method), " is not supported, want modelopt, ",
                                                    "compressed-tensors, fp8, mxfp4, gptq or awq"));
  }
  CheckKvScheme(fields);
  return fields.status();
}

}  // namespace

absl::StatusOr<Quantization> ParseQuantization(const Json& config, const Json& hf_quant_config,
                                               const std::string& folder) {
  Quantization out;
  if (!hf_quant_config.empty()) {
    ConfigFields file(hf_quant_config, absl::StrCat(folder, "/hf_quant_config.json"));
    const Json* object = ObjectOr(file, "quantization");
    if (object == nullptr) file.Fail("quantization", "is missing");
    RETURN_IF_ERROR(file.status());
    out.where = absl::StrCat(folder, "/hf_quant_config.json: quantization");
    ConfigFields fields(*object, out.where);
    ReadModelOpt(fields, &out);
    RETURN_IF_ERROR(fields.status());
  }
  ConfigFields file(config, absl::StrCat(folder, "/config.json"));
  if (const Json* object = ObjectOr(file, "quantization_config"); object != nullptr) {
    out.where = absl::StrCat(folder, "/config.json: quantization_config");
    RETURN_IF_ERROR(ReadConfigJson(*object, out.where, &out));
  }
  RETURN_IF_ERROR(file.status());
  return out;
}

absl::StatusOr<Quantization> ReadQuantization(const Checkpoint& checkpoint) {
  Json beside = Json::object();
  if (const std::string text = checkpoint.TextFile("hf_quant_config.json"); !text.empty()) {
    auto parsed = ParseJson(text, {.max_members = 1'000'000});
    const std::string file = absl::StrCat(checkpoint.path(), "/hf_quant_config.json: ");
    if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(file, parsed.status().message()));
    if (!parsed->is_object()) return absl::InvalidArgumentError(absl::StrCat(file, "want a JSON object"));
    beside = *std::move(parsed);
  }
  return ParseQuantization(checkpoint.config(), beside, checkpoint.path());
}

absl::Status Quantization::Check(std::string_view module, DType format) const {
  if (where.empty()) return absl::OkStatus();
  const auto listed = layers.find(module);
  const bool agrees = listed != layers.end() ? listed->second == format : formats.contains(format);
  if (agrees) return absl::OkStatus();
  std::string said;
  for (DType one : formats) absl::StrAppend(&said, said.empty() ? "" : ", ", DTypeName(one));
  if (listed != layers.end()) said = DTypeName(listed->second);
  return absl::InvalidArgumentError(absl::StrCat(Printable(module), ": is stored as ", DTypeName(format), "; ", where,
                                                 " says ", said.empty() ? "nothing" : said));
}

namespace {

// The tensor that holds the codes whose scale `name` is; empty when it is none.
std::string CodesOf(const Checkpoint& checkpoint, std::string_view name) {
  for (std::string_view suffix : {"_scale", "_scale_2", "_scale_inv", "_global_scale", "_scales", "_zero_point",
                                  "_shape", "_g_idx", ".scales", ".qzeros", ".g_idx"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string base(name.substr(0, name.size() - suffix.size()));
    for (const char* codes : {"", "_packed", "_blocks", ".qweight"}) {
      if (checkpoint.Contains(base + codes)) return base + codes;
    }
  }
  return "";
}

// What the U8 tensor `name` holds: codes with scales of this or that type, or bytes.
DType PackedType(const Checkpoint& checkpoint, const std::string& name) {
  const std::string base(absl::StripSuffix(absl::StripSuffix(name, "_packed"), "_blocks"));
  for (const char* suffix : {"_scale", "_scales"}) {
    const std::optional<DType> scales = checkpoint.TypeOf(base + suffix);
    if (scales == DType::kF8E4M3) return DType::kNVFP4;
    if (scales == DType::kU8 || scales == DType::kF8E8M0) return DType::kMXFP4;
  }
  return DType::kU8;
}

// What the I32 tensor `name` holds: words of 4- or 8-bit codes, `compressed` in those of compressed-tensors, or integers.
DType WordsType(const Checkpoint& checkpoint, const std::string& name, DType compressed) {
  if (absl::EndsWith(name, "_packed")) return compressed;
  if (!absl::EndsWith(name, ".qweight")) return DType::kI32;
  const std::string base(absl::StripSuffix(name, ".qweight"));
  const int64_t zero_words = checkpoint.BytesOf(base + ".qzeros") / 4, scales = checkpoint.BytesOf(base + ".scales") / 2;
  return zero_words * 4 == scales ? DType::kInt8 : DType::kInt4;
}

// Codes of integers are counted without what stands in their blocks.
int64_t ElementsIn(DType dtype, int64_t bytes) {
  if (dtype == DType::kInt4) return 2 * bytes;
  return dtype == DType::kInt8 ? bytes : bytes / BlockOf(dtype).bytes * BlockOf(dtype).elements;
}

}  // namespace

std::vector<FormatBytes> BytesByFormat(const Checkpoint& checkpoint) {
  std::map<std::string, FormatBytes> formats;
  const absl::StatusOr<Quantization> said = ReadQuantization(checkpoint);
  const DType compressed = said.ok() && !said->formats.contains(DType::kInt4) ? DType::kInt8 : DType::kInt4;
  for (const std::string& name : checkpoint.TensorNames()) {
    const std::string codes = CodesOf(checkpoint, name);
    const std::string& of = codes.empty() ? name : codes;
    DType dtype = *checkpoint.TypeOf(of);
    if (dtype == DType::kU8) dtype = PackedType(checkpoint, of);
    if (dtype == DType::kI32) dtype = WordsType(checkpoint, of, compressed);
    const std::string shown = dtype == DType::kF8E4M3 ? "FP8" : DTypeName(dtype);
    FormatBytes& format = formats[shown];
    const int64_t bytes = checkpoint.BytesOf(name);
    format.format = shown;
    format.bytes += bytes;
    const bool is_weight = codes.empty() && !absl::EndsWith(name, "_scale");  // nor a scale of activations
    if (is_weight) format.parameters += ElementsIn(dtype, bytes);
  }
  std::vector<FormatBytes> list;
  for (const auto& [name, format] : formats) list.push_back(format);
  return list;
}

}  // namespace braid
