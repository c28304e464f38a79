#include "models/tokenizer/token_vectors.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "kernels/base/errors.h"
#include "kernels/base/json.h"
#include "models/tokenizer/sha256.h"
#include "models/tokenizer/text_stream.h"
#include "models/tokenizer/unicode.h"

namespace braid {

std::string ReadAll(const std::filesystem::path& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  CHECK(file != nullptr) << path;
  std::string text;
  char buffer[1 << 16];
  for (int n = gzread(file, buffer, sizeof buffer); n > 0; n = gzread(file, buffer, sizeof buffer)) {
    text.append(buffer, static_cast<size_t>(n));
  }
  gzclose(file);
  return text;
}

namespace {

std::vector<Json> ReadLines(const std::filesystem::path& path) {
  const std::string text = ReadAll(path);
  std::vector<Json> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      auto line = ParseJson(std::string_view(text).substr(begin, end - begin));
      CHECK(line.ok()) << path << line.status().ToString();
      lines.push_back(*std::move(line));
    }
    begin = end + 1;
  }
  return lines;
}

std::string FromBase64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) out.push_back(static_cast<char>(bits >> (count -= 8)));
  }
  return out;
}

std::string TextOf(const Json& row) {
  if (row.contains("text")) return row["text"].get<std::string>();
  if (row.contains("b64")) return FromBase64(row["b64"].get<std::string>());
  std::string text;
  for (const Json& part : row["parts"]) {
    for (int i = 0; i < part[1].get<int>(); ++i) text += part[0].get<std::string>();
  }
  return text;
}

std::map<std::string, std::string> ReadTexts(const std::filesystem::path& folder) {
  std::map<std::string, std::string> texts;
  for (const Json& row : ReadLines(folder / "vectors/texts.jsonl")) texts[row["id"].get<std::string>()] = TextOf(row);
  return texts;
}

std::string Sha256OfIds(const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(id >> shift));
  }
  return Sha256Hex(bytes);
}

// `wanted` has `ids`, or `n` and `sha256`.
bool SameIds(const std::vector<int32_t>& ids, const Json& wanted) {
  if (wanted.contains("ids")) return Json(ids) == wanted["ids"];
  return ids.size() == wanted["n"].get<size_t>() && Sha256OfIds(ids) == wanted["sha256"].get<std::string>();
}

// `wanted` is a text, or {"chars", "sha256"}.
bool SameText(const std::string& text, const Json& wanted) {
  if (wanted.is_string()) return text == wanted.get<std::string>();
  return Sha256Hex(text) == wanted["sha256"].get<std::string>();
}

std::string Show(const std::vector<int32_t>& ids) {
  return Json(std::vector<int32_t>(ids.begin(), ids.begin() + std::min<size_t>(ids.size(), 60))).dump();
}

// Streams `ids` and checks that each chunk is well-formed and the whole is Decode's text.
void ExpectStreams(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip_special) {
  TextStream stream(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string chunk = stream.Push(id);
    ASSERT_TRUE(IsWellFormed(chunk));
    text += chunk;
  }
  text += stream.Finish();
  EXPECT_EQ(text, tokenizer.Decode(ids, skip_special));
}

// Where `row` leaves out a decoded text, it is the text itself, and `dec_skip` is `dec`.
void CheckDecode(const Tokenizer& tokenizer, const Json& row, const std::string& text,
                 const std::vector<int32_t>& ids) {
  const Json whole(RepairUtf8(text));
  const Json& dec = row.contains("dec") ? row["dec"] : whole;
  const Json& dec_skip = row.contains("dec_skip") ? row["dec_skip"] : dec;
  const std::string plain = tokenizer.Decode(ids, false), skipped = tokenizer.Decode(ids, true);
  EXPECT_TRUE(SameText(plain, dec)) << plain.substr(0, 500) << "\nwanted " << dec.dump().substr(0, 500);
  EXPECT_TRUE(SameText(skipped, dec_skip)) << skipped.substr(0, 500) << "\nwanted " << dec_skip.dump().substr(0, 500);
  ExpectStreams(tokenizer, ids, true);
}

void CheckRow(const Tokenizer& tokenizer, const Json& row, const Json& head, const std::string& text) {
  const Json& wanted = row;
  const auto ids = tokenizer.Encode(text, {});
  EXPECT_TRUE(SameIds(ids, wanted)) << Show(ids) << "\nwanted " << wanted.dump().substr(0, 500);
  const auto plain = tokenizer.Encode(text, {.parse_special_tokens = false});
  EXPECT_TRUE(SameIds(plain, row.contains("nospecial") ? row["nospecial"] : wanted)) << Show(plain);
  auto added = head["prefix"].get<std::vector<int32_t>>();
  added.insert(added.end(), ids.begin(), ids.end());
  const auto with_special = tokenizer.Encode(text, {.add_special_tokens = true});
  EXPECT_TRUE(row.contains("ids_added") ? Json(with_special) == row["ids_added"] : with_special == added)
      << Show(with_special);
  CheckDecode(tokenizer, row, text, ids);
}

}  // namespace

void CheckEncodeVectors(const std::filesystem::path& folder, const std::string& name, const Tokenizer& tokenizer) {
  const auto texts = ReadTexts(folder);
  std::filesystem::path path = folder / ("vectors/" + name + ".encode.jsonl.gz");
  const auto rows = ReadLines(path);
  ASSERT_GT(rows.size(), 1u);
  EXPECT_EQ(tokenizer.vocab_size(), rows[0]["vocab_size"].get<int>());
  for (size_t i = 1; i < rows.size(); ++i) {
    const std::string id = rows[i]["id"].get<std::string>();
    SCOPED_TRACE(name + " " + id);
    CheckRow(tokenizer, rows[i], rows[0], texts.at(id));
  }
}

void CheckStreamVectors(const std::filesystem::path& folder, const std::string& name, const Tokenizer& tokenizer) {
  for (const Json& row : ReadLines(folder / ("vectors/" + name + ".stream.jsonl"))) {
    SCOPED_TRACE(name + " " + row["id"].get<std::string>());
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    const bool skip_special = row["skip_special"].get<bool>();
    EXPECT_EQ(tokenizer.Decode(ids, skip_special), row["text"].get<std::string>());
    ExpectStreams(tokenizer, ids, skip_special);
  }
}

std::vector<std::filesystem::path> VectorFolders() {
  std::vector<std::filesystem::path> folders = {BRAID_SOURCE_DIR "/tests/data/tok"};
  if (const char* oracles = std::getenv("BRAID_ORACLES")) folders.push_back(std::filesystem::path(oracles) / "tok");
  return folders;
}

}  // namespace braid
