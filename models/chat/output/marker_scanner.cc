#include "models/chat/output/marker_scanner.h"

#include <utility>

#include "kernels/base/errors.h"

namespace braid {
namespace {

enum class Match { kNo, kBegins, kWhole };

// How `marker` fits the beginning of `text`; kBegins: `text` ends inside it.
Match MatchAt(std::string_view text, std::string_view marker) {
  if (text.size() >= marker.size()) return text.substr(0, marker.size()) == marker ? Match::kWhole : Match::kNo;
  return marker.substr(0, text.size()) == text ? Match::kBegins : Match::kNo;
}

}  // namespace

MarkerSet::MarkerSet(std::vector<std::string> markers) : markers_(std::move(markers)) {
  CHECK_LE(markers_.size(), 16u);
  for (const std::string& marker : markers_) {
    CHECK(!marker.empty() && marker.size() <= 64) << "marker " << marker;
    first_bytes_.set(static_cast<unsigned char>(marker[0]));
  }
}

void MarkerScanner::Append(std::string_view piece) {
  text_.erase(0, read_);
  read_ = 0;
  text_.append(piece);
}

MarkerScanner::Found MarkerScanner::Take(const MarkerSet& markers) {
  const std::string_view text = rest();
  for (size_t at = 0; at < text.size(); ++at) {
    if (markers.IsPlain(text[at])) continue;
    for (int marker = 0; marker < markers.size(); ++marker) {
      const Match match = MatchAt(text.substr(at), markers[marker]);
      if (match == Match::kNo || (match == Match::kBegins && closed_)) continue;
      const bool whole = match == Match::kWhole;
      Skip(at + (whole ? markers[marker].size() : 0));
      return {text.substr(0, at), whole ? marker : -1};
    }
  }
  Skip(text.size());
  return {text};
}

}  // namespace braid
