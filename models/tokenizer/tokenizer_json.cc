#include "models/tokenizer/tokenizer_json.h"

#include <string>
#include <utility>

#include "kernels/base/errors.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/byte_token.h"
#include "models/tokenizer/json_field.h"
#include "models/tokenizer/json_steps.h"

namespace braid {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;
constexpr size_t kMaxMerges = size_t{1} << 23;
constexpr size_t kMaxAroundText = 64;  // ids in front of or behind a text
constexpr int kMaxProcessorNesting = 8;

// Reads one document into parts; each function reads one section.
class JsonLoader {
 public:
  JsonLoader(const Json& document, const Json& config)
      : root_(document, ""), config_(config, "tokenizer_config"), parts_(std::make_unique<TokenizerParts>()) {}

  absl::StatusOr<std::unique_ptr<TokenizerParts>> Load() {
    RETURN_IF_ERROR(root_.CheckObject());
    RETURN_IF_ERROR(ReadSteps());
    RETURN_IF_ERROR(ReadModel());
    RETURN_IF_ERROR(ReadAddedTokens());
    RETURN_IF_ERROR(ReadProcessor(root_.Member("post_processor"), 0));
    RETURN_IF_ERROR(ReadConfig());
    parts_->FillBytes();
    return std::move(parts_);
  }

 private:
  absl::Status ReadSteps();
  absl::Status ReadModel();
  absl::Status ReadBpe(const JsonField& model);
  absl::Status CheckBpeOptions(const JsonField& model);
  absl::Status ReadBpeVocabulary(const JsonField& vocab);
  absl::Status ReadMerge(const JsonField& merge, int32_t rank);
  absl::Status ReadUnigram(const JsonField& model);
  absl::Status ReadAddedTokens();
  absl::StatusOr<AddedToken> ReadAddedToken(const JsonField& field);
  absl::Status ReadProcessor(const JsonField& field, int nesting);
  absl::Status ReadTemplate(const JsonField& field);
  absl::Status ReadClsSep(const JsonField& field);
  absl::StatusOr<std::vector<int32_t>> TemplateIds(const JsonField& special_tokens, const JsonField& name);
  absl::StatusOr<int32_t> KnownId(const JsonField& id);
  absl::Status Surround(std::vector<int32_t> before, const std::vector<int32_t>& behind);
  absl::Status ReadConfig();
  absl::StatusOr<std::optional<int32_t>> NamedToken(const JsonField& field);

  const JsonField root_, config_;
  std::unique_ptr<TokenizerParts> parts_;
  BpeUnit unit_ = BpeUnit::kCharacter;
};

absl::Status JsonLoader::ReadSteps() {
  ASSIGN_OR_RETURN(auto normalizer, NormalizerSteps(root_.Member("normalizer")));
  parts_->normalizer = Normalizer(std::move(normalizer));
  ASSIGN_OR_RETURN(auto splits, SplitSteps(root_.Member("pre_tokenizer")));
  const bool is_bpe = root_.Member("model").Member("merges").value().is_array();
  if (is_bpe && !splits.empty() && splits.back().kind == SplitStep::kByteAlphabet) {
    // The model may work on plain bytes: nothing looks at the letters that stand for them.
    splits.pop_back();
    unit_ = BpeUnit::kByte;
  }
  parts_->pre_split = PreSplit(std::move(splits));
  ASSIGN_OR_RETURN(auto decoder, DecoderSteps(root_.Member("decoder")));
  parts_->decoder = Decoder(std::move(decoder));
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadModel() {
  const JsonField model = root_.Member("model");
  RETURN_IF_ERROR(model.CheckObject());
  parts_->vocabulary.Expect(model.Member("vocab").value().size() + root_.Member("added_tokens").value().size());
  // Files of before 2020 have no type: merges tell BPE, a list of pairs tells Unigram.
  const bool has_merges = model.Member("merges").value().is_array();
  ASSIGN_OR_RETURN(const std::string type, model.Member("type").StringOr(has_merges ? "BPE" : "Unigram"));
  if (type == "BPE") return ReadBpe(model);
  if (type == "Unigram") return ReadUnigram(model);
  return absl::UnimplementedError(absl::StrCat("model.type \"", type, "\" is not supported; BPE and Unigram are"));
}

absl::Status JsonLoader::CheckBpeOptions(const JsonField& model) {
  if (const JsonField dropout = model.Member("dropout"); !dropout.is_null()) {
    ASSIGN_OR_RETURN(const double share, dropout.Number());
    if (share != 0) return absl::UnimplementedError("model.dropout: merges left out by chance are not supported");
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    ASSIGN_OR_RETURN(const std::string affix, model.Member(name).StringOr(""));
    if (!affix.empty()) return absl::UnimplementedError(absl::StrCat("model.", name, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadBpe(const JsonField& model) {
  RETURN_IF_ERROR(CheckBpeOptions(model));
  const JsonField vocab = model.Member("vocab");
  RETURN_IF_ERROR(vocab.CheckObject());
  for (const auto& [spelling, id] : vocab.value().get_ref<const Json::object_t&>()) {
    ASSIGN_OR_RETURN(const int64_t number, JsonField(id, "model.vocab[\"" + spelling + "\"]").Integer());
    if (auto status = parts_->vocabulary.Add(spelling, number); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("model.vocab: ", status.message()));
    }
  }
  BpeOptions options{.unit = unit_};
  ASSIGN_OR_RETURN(options.whole_pieces_first, model.Member("ignore_merges").BoolOr(false));
  ASSIGN_OR_RETURN(options.byte_fallback, model.Member("byte_fallback").BoolOr(false));
  ASSIGN_OR_RETURN(options.fuse_unknown, model.Member("fuse_unk").BoolOr(false));
  if (const JsonField unknown = model.Member("unk_token"); !unknown.is_null()) {
    ASSIGN_OR_RETURN(const std::string name, unknown.String());
    options.unknown_id = parts_->vocabulary.IdOf(name);
    if (!options.unknown_id) return unknown.Wrong("a token of model.vocab");
  }
  parts_->bpe = std::make_unique<Bpe>(options);
  RETURN_IF_ERROR(ReadBpeVocabulary(vocab));
  const JsonField merges = model.Member("merges");
  ASSIGN_OR_RETURN(const size_t count, merges.ArraySize());
  if (count > kMaxMerges) return merges.Wrong(absl::StrCat("at most ", kMaxMerges, " merges"));
  const Json& list = merges.value();
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(ReadMerge(JsonField(list[i], absl::StrCat("model.merges[", i, "]")), static_cast<int32_t>(i)));
  }
  parts_->bpe->Seal();
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadBpeVocabulary(const JsonField& vocab) {
  for (const auto& [spelling, number] : vocab.value().get_ref<const Json::object_t&>()) {
    const int32_t id = number.get<int32_t>();
    if (unit_ == BpeUnit::kCharacter) {
      parts_->bpe->AddToken(spelling, id);
      if (const auto byte = ByteOfToken(spelling)) parts_->bpe->SetFallback(*byte, id);
    } else if (auto bytes = FromByteAlphabet(spelling)) {
      parts_->bpe->AddToken(std::move(*bytes), id);
    }
  }
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadMerge(const JsonField& merge, int32_t rank) {
  std::string left, right;
  if (merge.value().is_array() && merge.value().size() == 2) {
    ASSIGN_OR_RETURN(left, merge.Element(0).String());
    ASSIGN_OR_RETURN(right, merge.Element(1).String());
  } else {
    if (!merge.value().is_string()) return merge.Wrong("\"left right\" or [\"left\", \"right\"]");
    const std::string& both = merge.value().get_ref<const std::string&>();
    const size_t space = both.find(' ', 1);
    if (space == std::string::npos) return merge.Wrong("two tokens with a space between");
    left = both.substr(0, space);
    right = both.substr(space + 1);
  }
  const auto left_id = parts_->vocabulary.IdOf(left), right_id = parts_->vocabulary.IdOf(right);
  const auto merged_id = parts_->vocabulary.IdOf(left + right);
  if (!left_id || !right_id || !merged_id) return merge.Wrong("two tokens of model.vocab that join to a third");
  parts_->bpe->AddMerge(*left_id, *right_id, *merged_id, rank);
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadUnigram(const JsonField& model) {
  const JsonField vocab = model.Member("vocab");
  if (!vocab.value().is_array()) return vocab.Wrong("an array of [token, score]");
  std::optional<int32_t> unknown_id;
  if (const JsonField unknown = model.Member("unk_id"); !unknown.is_null()) {
    ASSIGN_OR_RETURN(const int64_t id, unknown.Integer());
    if (id < 0 || id >= static_cast<int64_t>(vocab.value().size())) return unknown.Wrong("an index of model.vocab");
    unknown_id = static_cast<int32_t>(id);
  }
  ASSIGN_OR_RETURN(const bool byte_fallback, model.Member("byte_fallback").BoolOr(false));
  parts_->unigram = std::make_unique<Unigram>(unknown_id, byte_fallback);
  int32_t id = 0;
  for (const Json& item : vocab.value()) {
    const JsonField entry(item, absl::StrCat("model.vocab[", id, "]"));
    if (!item.is_array() || item.size() != 2) return entry.Wrong("[token, score]");
    ASSIGN_OR_RETURN(const std::string spelling, entry.Element(0).String());
    ASSIGN_OR_RETURN(const double score, entry.Element(1).Number());
    RETURN_IF_ERROR(parts_->vocabulary.AddRepeatable(spelling, id));
    parts_->unigram->AddToken(spelling, id, score);
    if (const auto byte = ByteOfToken(spelling)) parts_->unigram->SetFallback(*byte, id);
    ++id;
  }
  return absl::OkStatus();
}

absl::StatusOr<AddedToken> JsonLoader::ReadAddedToken(const JsonField& field) {
  AddedToken token;
  RETURN_IF_ERROR(field.CheckObject());
  ASSIGN_OR_RETURN(const int64_t id, field.Member("id").Integer());
  if (id < 0 || id >= Vocabulary::kMaxTokens) {
    return field.Member("id").Wrong(absl::StrCat("from 0 to ", Vocabulary::kMaxTokens - 1));
  }
  token.id = static_cast<int32_t>(id);
  ASSIGN_OR_RETURN(token.content, field.Member("content").String());
  ASSIGN_OR_RETURN(token.single_word, field.Member("single_word").BoolOr(false));
  ASSIGN_OR_RETURN(token.lstrip, field.Member("lstrip").BoolOr(false));
  ASSIGN_OR_RETURN(token.rstrip, field.Member("rstrip").BoolOr(false));
  ASSIGN_OR_RETURN(token.special, field.Member("special").BoolOr(false));
  ASSIGN_OR_RETURN(token.normalized, field.Member("normalized").BoolOr(!token.special));
  return token;
}

absl::Status JsonLoader::ReadAddedTokens() {
  const JsonField list = root_.Member("added_tokens");
  ASSIGN_OR_RETURN(const size_t count, list.ArraySize());
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const AddedToken token, ReadAddedToken(list.Element(i)));
    if (auto status = parts_->AddToken(token); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("added_tokens[", i, "]: ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadProcessor(const JsonField& field, int nesting) {
  if (field.is_null()) return absl::OkStatus();
  RETURN_IF_ERROR(field.CheckObject());
  ASSIGN_OR_RETURN(const std::string type, field.Member("type").String());
  if (type == "ByteLevel") return absl::OkStatus();  // offsets only, and we have none
  if (type == "TemplateProcessing") return ReadTemplate(field);
  if (type == "BertProcessing" || type == "RobertaProcessing") return ReadClsSep(field);
  if (type != "Sequence") {
    return absl::UnimplementedError(absl::StrCat(field.path(), ".type \"", type, "\" is not supported"));
  }
  if (nesting == kMaxProcessorNesting) return field.Wrong(absl::StrCat("nested at most ", nesting, " deep"));
  const JsonField list = field.Member("processors");
  ASSIGN_OR_RETURN(const size_t count, list.ArraySize());
  for (size_t i = 0; i < count; ++i) RETURN_IF_ERROR(ReadProcessor(list.Element(i), nesting + 1));
  return absl::OkStatus();
}

absl::Status JsonLoader::ReadTemplate(const JsonField& field) {
  const JsonField single = field.Member("single");
  ASSIGN_OR_RETURN(const size_t count, single.ArraySize());
  std::vector<int32_t> before, behind;
  int texts = 0;
  for (size_t i = 0; i < count; ++i) {
    const JsonField item = single.Element(i);
    if (const JsonField special = item.Member("SpecialToken"); !special.is_null()) {
      ASSIGN_OR_RETURN(const auto ids, TemplateIds(field.Member("special_tokens"), special.Member("id")));
      std::vector<int32_t>& side = texts == 0 ? before : behind;
      side.insert(side.end(), ids.begin(), ids.end());
      if (side.size() > kMaxAroundText)
        return single.Wrong(absl::StrCat("at most ", kMaxAroundText, " special tokens"));
    } else if (!item.Member("Sequence").is_null()) {
      ++texts;
    } else {
      return item.Wrong("a SpecialToken or a Sequence");
    }
  }
  if (texts != 1) return single.Wrong("a list with one Sequence");
  return Surround(std::move(before), behind);
}

absl::StatusOr<std::vector<int32_t>> JsonLoader::TemplateIds(const JsonField& special_tokens, const JsonField& name) {
  ASSIGN_OR_RETURN(const std::string key, name.String());
  const JsonField list = special_tokens.Member(key).Member("ids");
  ASSIGN_OR_RETURN(const size_t count, list.ArraySize());
  if (count == 0) return name.Wrong(absl::StrCat("a name in ", special_tokens.path(), " with ids"));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const int32_t id, KnownId(list.Element(i)));
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<int32_t> JsonLoader::KnownId(const JsonField& field) {
  ASSIGN_OR_RETURN(const int64_t id, field.Integer());
  if (id < 0 || id >= parts_->vocabulary.size() || !parts_->vocabulary.Has(static_cast<int32_t>(id))) {
    return field.Wrong("the id of a token");
  }
  return static_cast<int32_t>(id);
}

// {"cls": ["<s>", 0], "sep": ["</s>", 2]}
absl::Status JsonLoader::ReadClsSep(const JsonField& field) {
  const JsonField cls = field.Member("cls"), sep = field.Member("sep");
  for (const JsonField& pair : {cls, sep}) {
    if (!pair.value().is_array() || pair.value().size() != 2) return pair.Wrong("[token, id]");
  }
  ASSIGN_OR_RETURN(const int32_t before, KnownId(cls.Element(1)));
  ASSIGN_OR_RETURN(const int32_t behind, KnownId(sep.Element(1)));
  return Surround({before}, {behind});
}

// A later processor puts its tokens around those of an earlier one.
absl::Status JsonLoader::Surround(std::vector<int32_t> before, const std::vector<int32_t>& behind) {
  before.insert(before.end(), parts_->prefix.begin(), parts_->prefix.end());
  parts_->prefix = std::move(before);
  parts_->suffix.insert(parts_->suffix.end(), behind.begin(), behind.end());
  if (parts_->prefix.size() > kMaxAroundText || parts_->suffix.size() > kMaxAroundText) {
    return root_.Member("post_processor").Wrong(absl::StrCat("at most ", kMaxAroundText, " tokens on a side"));
  }
  return absl::OkStatus();
}

// "<s>" | {"content": "<s>", ...} | null
absl::StatusOr<std::optional<int32_t>> JsonLoader::NamedToken(const JsonField& field) {
  if (field.is_null()) return std::optional<int32_t>();
  ASSIGN_OR_RETURN(const std::string name, (field.value().is_object() ? field.Member("content") : field).String());
  return parts_->vocabulary.IdOf(name);
}

absl::Status JsonLoader::ReadConfig() {
  // Without a configuration, what is put around a text is all we know.
  if (parts_->prefix.size() == 1) parts_->bos_id = parts_->prefix[0];
  if (parts_->suffix.size() == 1) parts_->eos_id = parts_->suffix[0];
  if (config_.is_null()) return absl::OkStatus();
  RETURN_IF_ERROR(config_.CheckObject());
  ASSIGN_OR_RETURN(const auto bos, NamedToken(config_.Member("bos_token")));
  ASSIGN_OR_RETURN(const auto eos, NamedToken(config_.Member("eos_token")));
  if (bos) parts_->bos_id = bos;
  if (eos) parts_->eos_id = eos;
  auto& prefix = parts_->prefix;
  auto& suffix = parts_->suffix;
  const bool has_bos = bos && !prefix.empty() && prefix.front() == *bos;
  const bool has_eos = eos && !suffix.empty() && suffix.back() == *eos;
  ASSIGN_OR_RETURN(const bool add_bos, config_.Member("add_bos_token").BoolOr(has_bos));
  ASSIGN_OR_RETURN(const bool add_eos, config_.Member("add_eos_token").BoolOr(has_eos));
  if (add_bos && bos && !has_bos) prefix.insert(prefix.begin(), *bos);
  if (!add_bos && has_bos) prefix.erase(prefix.begin());
  if (add_eos && eos && !has_eos) suffix.push_back(*eos);
  if (!add_eos && has_eos) suffix.pop_back();
  return absl::OkStatus();
}

absl::StatusOr<Json> Parse(std::string_view text, const char* name) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", text.size(), " bytes; at most ", kMaxFileBytes, " are allowed"));
  }
  auto json = ParseJson(text, {.max_depth = 32, .max_members = size_t{1} << 23});
  if (json.ok()) return json;
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", json.status().message()));
}

absl::Status Named(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("tokenizer.json: ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromJson(std::string_view tokenizer_json,
                                                              std::string_view config_json) {
  ASSIGN_OR_RETURN(const Json document, Parse(tokenizer_json, "tokenizer.json"));
  Json config;
  if (!config_json.empty()) {
    ASSIGN_OR_RETURN(config, Parse(config_json, "tokenizer_config.json"));
  }
  auto parts = JsonLoader(document, config).Load();
  if (!parts.ok()) return Named(parts.status());
  return parts;
}

}  // namespace braid
