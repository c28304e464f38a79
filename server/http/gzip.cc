#include "server/http/gzip.h"

#include <zlib.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kLevel = 1;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say: largest window, gzip's frame

// "q=0.5" to thousandths: 0, 1 or a point and up to three digits.
std::optional<int> Weight(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "q=") && !absl::ConsumePrefix(&text, "Q=")) return std::nullopt;
  if (text.empty() || (text[0] != '0' && text[0] != '1') || (text.size() > 1 && text[1] != '.') || text.size() > 5)
    return std::nullopt;
  int thousandths = (text[0] - '0') * 1000, place = 100;
  for (size_t i = 2; i < text.size(); ++i, place /= 10) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) return std::nullopt;
    thousandths += (text[i] - '0') * place;
  }
  return thousandths <= 1000 ? std::optional(thousandths) : std::nullopt;
}

struct Weights {
  std::optional<int> gzip, identity, any;
};

// Reads one coding of the list; false when it is malformed.
bool Read(absl::string_view item, Weights& weights) {
  const size_t semicolon = std::min(item.find(';'), item.size());
  const absl::string_view coding = absl::StripAsciiWhitespace(item.substr(0, semicolon));
  int weight = 1000;
  if (semicolon < item.size()) {
    const std::optional<int> given = Weight(absl::StripAsciiWhitespace(item.substr(semicolon + 1)));
    if (!given.has_value()) return false;
    weight = *given;
  }
  if (absl::EqualsIgnoreCase(coding, "gzip") || absl::EqualsIgnoreCase(coding, "x-gzip")) weights.gzip = weight;
  if (absl::EqualsIgnoreCase(coding, "identity")) weights.identity = weight;
  if (coding == "*") weights.any = weight;
  return true;
}

}  // namespace

bool AcceptsGzip(std::string_view accept_encoding) {
  Weights weights;
  for (absl::string_view item :
       absl::StrSplit(absl::string_view(accept_encoding.data(), accept_encoding.size()), ',')) {
    if (!absl::StripAsciiWhitespace(item).empty() && !Read(item, weights)) return false;
  }
  const int gzip = weights.gzip.value_or(weights.any.value_or(0));
  return gzip > 0 && gzip >= weights.identity.value_or(0);
}

std::string Gzip(std::string_view text) {
  z_stream stream{};
  CHECK_EQ(deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace braid
