// config.json, and behind the line generation_config.json, as every family's configuration. Checkpoints take objects only.
#include "models/model_config.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [config_text, generation_text] = fuzz::Halves(fuzz::Text(data, size));
  const auto config = ParseJson(config_text, {.allow_bare_infinity = true});
  fuzz::CheckRefusal(config.status());
  if (!config.ok() || !config->is_object()) return 0;
  const auto generation = ParseJson(generation_text);
  const Json second = generation.ok() && generation->is_object() ? *generation : Json::object();
  fuzz::CheckRefusal(ParseLlamaConfig(*config, second, "config.json").status());
  fuzz::CheckRefusal(ParseNemotronHConfig(*config, second, "config.json").status());
  fuzz::CheckRefusal(ParseMamba2Config(*config, second, "config.json").status());
  fuzz::CheckRefusal(ParseHybridConfig(*config, second, "config.json").status());
  fuzz::CheckRefusal(ParseNemotronNasConfig(*config, second, "config.json").status());
  fuzz::CheckRefusal(ParseBloomConfig(*config, second, "config.json").status());
  return 0;
}
