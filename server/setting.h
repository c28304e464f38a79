// One setting of the daemon: its name, what it accepts, and where its value goes. Flags, environment variables and the
// configuration file all go through the same Set, so that they accept and refuse the same.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace braid {

struct Config;

struct Setting {
  std::string name;      // with dashes: the flag without its leading two
  std::string group;     // heading in the help
  std::string accepted;  // "0..65535", "on|off", "BYTES"
  std::string standard;  // the default, for the help
  std::string meaning;   // one line
  bool repeatable = false;
  // Reads one value (or, repeatable, all of them) into the configuration. The error says what is accepted, not where
  // the value came from.
  std::function<absl::Status(Config&, const std::vector<std::string>& values)> set;
  bool is_switch = false;  // its flag needs no value
};

// All settings of `braid serve`, in the order of the help.
const std::vector<Setting>& Settings();

// Reads "4GiB", "512MiB", "1.5G", "1000000"; units are powers of 1024 with or without "iB", of 1000 with "B" alone.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);

// "4.0 GiB": the largest binary unit that leaves at least 1.
std::string BytesText(int64_t bytes);

}  // namespace braid
