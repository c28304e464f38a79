#include "models/text_model.h"

#include "models/weights/checkpoint.h"

namespace braid {
namespace {

// Says in which file of the checkpoint an error lies.
absl::Status In(const Checkpoint& checkpoint, std::string_view file, const absl::Status& status) {
  const std::string place = file.empty() ? checkpoint.path() : absl::StrCat(checkpoint.path(), "/", std::string(file));
  return absl::Status(status.code(), absl::StrCat(place, ": ", status.message()));
}

// Sets `value` from metadata `key` when it is there.
template <class T, class Read>
absl::Status ReadOptional(const GgufFile& gguf, std::string_view key, Read read, T* value) {
  if (!gguf.Has(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(*value, (gguf.*read)(key));
  return absl::OkStatus();
}

absl::StatusOr<GgufVocabulary> ReadVocabulary(const GgufFile& gguf) {
  GgufVocabulary v;
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.model", &GgufFile::GetString, &v.model));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.pre", &GgufFile::GetString, &v.pre));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.tokens", &GgufFile::GetStrings, &v.tokens));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.scores", &GgufFile::GetF32s, &v.scores));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.token_type", &GgufFile::GetI32s, &v.token_types));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.merges", &GgufFile::GetStrings, &v.merges));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.bos_token_id", &GgufFile::GetU32, &v.bos_id));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.eos_token_id", &GgufFile::GetU32, &v.eos_id));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.unknown_token_id", &GgufFile::GetU32, &v.unknown_id));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.padding_token_id", &GgufFile::GetU32, &v.padding_id));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.add_bos_token", &GgufFile::GetBool, &v.add_bos));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.add_eos_token", &GgufFile::GetBool, &v.add_eos));
  RETURN_IF_ERROR(ReadOptional(gguf, "tokenizer.ggml.add_space_prefix", &GgufFile::GetBool, &v.add_space_prefix));
  if (gguf.Has("tokenizer.ggml.precompiled_charsmap")) {
    ASSIGN_OR_RETURN(const GgufArray map, gguf.GetArray("tokenizer.ggml.precompiled_charsmap"));
    v.precompiled_charsmap.assign(reinterpret_cast<const char*>(map.bytes.data()), map.bytes.size());
  }
  return v;
}

absl::StatusOr<TextModel> LoadFromGguf(const Checkpoint& checkpoint) {
  const GgufFile& gguf = *checkpoint.gguf();
  TextModel text;
  if (!gguf.Has("tokenizer.ggml.model")) return text;
  ASSIGN_OR_RETURN(const GgufVocabulary vocabulary, ReadVocabulary(gguf));
  auto tokenizer = Tokenizer::FromGguf(vocabulary);
  if (!tokenizer.ok()) return In(checkpoint, "", tokenizer.status());
  text.tokenizer = *std::move(tokenizer);
  if (!gguf.Has("tokenizer.chat_template")) return text;
  ASSIGN_OR_RETURN(const std::string source, gguf.GetString("tokenizer.chat_template"));
  auto chat = ChatTemplate::Parse(source, text.tokenizer->bos_token(), text.tokenizer->eos_token());
  if (!chat.ok()) return In(checkpoint, "", chat.status());
  text.chat_template = *std::move(chat);
  const std::string architecture = gguf.Has("general.architecture") ? gguf.GetString("general.architecture").value_or("") : "";
  text.output_format = GuessOutputFormat({.model_type = architecture, .chat_template = source});
  return text;
}

// chat_template in tokenizer_config.json: a string, or a list of {name, template} of which "default" counts.
std::string TemplateInConfig(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return "";
  for (const Json& entry : *found) {
    if (entry.is_object() && entry.value("name", Json()) == "default" && entry.value("template", Json()).is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return "";
}

absl::StatusOr<TextModel> LoadFromFolder(const Checkpoint& checkpoint) {
  TextModel text;
  const std::string tokenizer_json = checkpoint.TextFile("tokenizer.json");
  const std::string config_text = checkpoint.TextFile("tokenizer_config.json");
  if (tokenizer_json.empty()) return text;
  auto tokenizer = Tokenizer::FromJson(tokenizer_json, config_text);
  if (!tokenizer.ok()) return In(checkpoint, "tokenizer.json", tokenizer.status());
  text.tokenizer = *std::move(tokenizer);
  std::string source = checkpoint.TextFile("chat_template.jinja"), file = "chat_template.jinja";
  if (source.empty() && !config_text.empty()) {
    file = "tokenizer_config.json";
    auto config = ParseJson(config_text, {.allow_bare_infinity = true});
    if (!config.ok()) return In(checkpoint, file, config.status());
    if (config->is_object()) source = TemplateInConfig(*config);
  }
  if (source.empty()) return text;
  auto chat = ChatTemplate::Parse(source, text.tokenizer->bos_token(), text.tokenizer->eos_token());
  if (!chat.ok()) return In(checkpoint, file, chat.status());
  text.chat_template = *std::move(chat);
  const Json type = checkpoint.config().value("model_type", Json());
  const std::string model_type = type.is_string() ? type.get<std::string>() : "";
  text.output_format = GuessOutputFormat({.model_type = model_type, .chat_template = source});
  return text;
}

}  // namespace

absl::StatusOr<TextModel> LoadTextModel(const Checkpoint& checkpoint) {
  return checkpoint.gguf() != nullptr ? LoadFromGguf(checkpoint) : LoadFromFolder(checkpoint);
}

}  // namespace braid
