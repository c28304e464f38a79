#include "engine/grammar/string_formats.h"

#include <map>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

// RFC 3339 section 5.6, with the days of each month and the 29th of February in leap years.
std::string Date() {
  const std::string day31 = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])", day30 = "(0[469]|11)-(0[1-9]|[12][0-9]|30)";
  const std::string day28 = "02-(0[1-9]|1[0-9]|2[0-8])";
  const std::string leap = "([0-9][0-9](0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29";
  return absl::StrCat("([0-9]{4}-(", day31, "|", day30, "|", day28, ")|", leap, ")");
}

std::string Time() {
  return "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?(Z|z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
}

// ISO 8601 as RFC 3339 appendix A has it.
std::string Duration() {
  const std::string time = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
  const std::string date = "([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)";
  return "P(" + date + "(" + time + ")?|" + time + "|[0-9]+W)";
}

// RFC 1123: labels of letters, digits and inner hyphens; 253 bytes at most in all.
std::string HostName() {
  const std::string label = "[A-Za-z0-9]([A-Za-z0-9-]{0,28}[A-Za-z0-9])?";
  return label + "(\\." + label + "){0,7}";
}

// RFC 5321: a dot-string and a domain.
std::string Email() {
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
  return atom + "(\\." + atom + ")*@" + HostName();
}

std::string Ipv4() {
  const std::string byte = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
  return absl::StrCat("(", byte, "\\.){3}", byte);
}

// RFC 4291 section 2.2.
std::string Ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}", tail = absl::StrCat("(", h, ":", h, "|", Ipv4(), ")");
  std::string ways = absl::StrCat("(", h, ":){6}", tail);
  for (int after = 5; after >= 0; --after) {  // groups between "::" and the last two
    const int before = 5 - after;
    const std::string head = before == 0 ? "" : absl::StrCat("((", h, ":){0,", before - 1, "}", h, ")?");
    const std::string groups = after == 0 ? "" : absl::StrCat("(", h, ":){", after, "}");
    absl::StrAppend(&ways, "|", head, "::", groups, tail);
  }
  absl::StrAppend(&ways, "|((", h, ":){0,5}", h, ")?::", h);
  absl::StrAppend(&ways, "|((", h, ":){0,6}", h, ")?::");
  return absl::StrCat("(", ways, ")");
}

enum class References { kAbsolute, kAny };

// RFC 3986 appendix A; with `other`, a set of further characters, RFC 3987.
std::string Uri(References references, const std::string& other) {
  const std::string plain = "A-Za-z0-9._~!$&'()*+,;=-" + other, escape = "%[0-9A-Fa-f]{2}";
  const auto chars = [&](const char* more) { return absl::StrCat("([", more, plain, "]|", escape, ")"); };
  const std::string authority = absl::StrCat("(", chars(":"), "*@)?(\\[[0-9A-Fa-f:.]+\\]|", chars(""), "*)(:[0-9]*)?");
  const std::string segments = absl::StrCat("(/", chars(":@"), "*)*");
  const std::string rooted = absl::StrCat("/(", chars(":@"), "+", segments, ")?");
  const std::string tail = absl::StrCat("(\\?", chars(":@/?"), "*)?(#", chars(":@/?"), "*)?");
  const std::string hier = absl::StrCat("(//", authority, segments, "|", rooted, "|", chars(":@"), "+", segments, ")?");
  const std::string absolute = absl::StrCat("[A-Za-z][A-Za-z0-9+.-]*:", hier, tail);
  if (references == References::kAbsolute) return absolute;
  const std::string relative =
      absl::StrCat("(//", authority, segments, "|", rooted, "|", chars("@"), "+", segments, ")?");
  return absl::StrCat("(", absolute, "|", relative, tail, ")");
}

std::string JsonPointer() { return "(/([^~/]|~[01])*)*"; }

const std::map<std::string, std::string, std::less<>>& Formats() {
  static const auto* formats = [] {
    const std::string beyond = "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF";
    return new std::map<std::string, std::string, std::less<>>{
        {"date", Date()},
        {"time", Time()},
        {"date-time", Date() + "[Tt]" + Time()},
        {"duration", Duration()},
        {"email", Email()},
        {"hostname", HostName()},
        {"ipv4", Ipv4()},
        {"ipv6", Ipv6()},
        {"uuid", "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"},
        {"uri", Uri(References::kAbsolute, "")},
        {"uri-reference", Uri(References::kAny, "")},
        {"iri", Uri(References::kAbsolute, beyond)},
        {"iri-reference", Uri(References::kAny, beyond)},
        {"json-pointer", JsonPointer()},
        {"relative-json-pointer", absl::StrCat("(0|[1-9][0-9]*)(#|", JsonPointer(), ")")},
        {"byte", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"},
    };
  }();
  return *formats;
}

}  // namespace

std::string FormatPattern(std::string_view format) {
  const auto at = Formats().find(format);
  return at == Formats().end() ? "" : absl::StrCat("^(", at->second, ")$");
}

std::string FormatNames() {
  std::string names;
  for (const auto& [name, pattern] : Formats()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace braid
