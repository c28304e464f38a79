// Architecture name to loader: one visible array.
#include "models/families/bamba.h"
#include "models/families/bloom.h"
#include "models/families/falcon_h1.h"
#include "models/families/gpt_oss.h"
#include "models/families/granite.h"
#include "models/families/hybrid.h"
#include "models/families/llama.h"
#include "models/families/mamba2.h"
#include "models/families/nemotron.h"
#include "models/families/nemotron_h.h"
#include "models/families/nemotron_h_mtp.h"
#include "models/families/nemotron_nas.h"
#include "models/model.h"
#include "models/model_config.h"

namespace braid {
namespace {

struct Family {
  const char* model_type;  // config.json's model_type, or GGUF's general.architecture
  absl::StatusOr<ModelInfo> (*read)(const Checkpoint&);
  absl::StatusOr<std::unique_ptr<Model>> (*load)(const Checkpoint&, Backend&, const LoadProgress&);
  absl::StatusOr<std::unique_ptr<DraftHead>> (*load_draft_head)(const Checkpoint&, Backend&, const LoadProgress&,
                                                                const Model&) = nullptr;
};

constexpr Family kFamilies[] = {
    {"llama", ReadLlamaInfo, LoadLlama},
    {"mistral", ReadLlamaInfo, LoadLlama},
    {"mixtral", ReadLlamaInfo, LoadLlama},
    {"qwen2", ReadLlamaInfo, LoadLlama},
    {"qwen3", ReadLlamaInfo, LoadLlama},
    {"qwen3_moe", ReadLlamaInfo, LoadLlama},
    {"qwen3moe", ReadLlamaInfo, LoadLlama},
    {"bamba", ReadHybridInfo, LoadBamba},
    {"bloom", ReadBloomInfo, LoadBloom},
    {"falcon_h1", ReadHybridInfo, LoadFalconH1},
    {"gpt_oss", ReadLlamaInfo, LoadGptOss},
    {"granite", ReadHybridInfo, LoadGranite},
    {"granitemoe", ReadHybridInfo, LoadGranite},
    {"granitemoeshared", ReadHybridInfo, LoadGranite},
    {"granitemoehybrid", ReadHybridInfo, LoadGranite},
    {"mamba2", ReadMamba2Info, LoadMamba2},
    {"nemotron", ReadLlamaInfo, LoadNemotron},
    {"nemotron_h", ReadNemotronHInfo, LoadNemotronH, LoadNemotronHMtp},
    {"nemotron-nas", ReadNemotronNasInfo, LoadNemotronNas},
    {"nemotron_h_puzzle", ReadNemotronHInfo, LoadNemotronH},
};

absl::StatusOr<const Family*> FamilyOf(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const std::string type, ReadModelType(checkpoint));
  std::string known;
  for (const Family& family : kFamilies) {
    if (type == family.model_type) return &family;
    absl::StrAppend(&known, known.empty() ? "" : ", ", family.model_type);
  }
  return absl::UnimplementedError(
      absl::StrCat(checkpoint.path(), ": model_type: \"", type, "\" is not supported; known are ", known));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const Family* family, FamilyOf(checkpoint));
  return family->load(checkpoint, backend, progress);
}

absl::StatusOr<std::unique_ptr<DraftHead>> LoadDraftHead(const Checkpoint& checkpoint, Backend& backend,
                                                         const LoadProgress& progress, const Model& model) {
  ASSIGN_OR_RETURN(const Family* family, FamilyOf(checkpoint));
  CHECK(family->load_draft_head != nullptr && model.info().draft_head) << family->model_type;
  return family->load_draft_head(checkpoint, backend, progress, model);
}

absl::StatusOr<ModelInfo> ReadModelInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const Family* family, FamilyOf(checkpoint));
  return family->read(checkpoint);
}

}  // namespace braid
