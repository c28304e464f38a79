// One JSON line per record on stderr: {"time":..., "level":..., "message":..., fields...}.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace braid {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One field of a record; text is escaped, numbers and truths are written bare.
struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double, bool> value;
  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  LogField(std::string_view n, int v) : name(n), value(static_cast<int64_t>(v)) {}
  LogField(std::string_view n, int64_t v) : name(n), value(v) {}
  LogField(std::string_view n, size_t v) : name(n), value(static_cast<int64_t>(v)) {}
};

// Records below `level` are dropped. Default: info.
void SetLogLevel(LogLevel level);

// Returns the level named by `name` ("debug", "info", "warning", "error"); false when it is none.
bool ParseLogLevel(std::string_view name, LogLevel* level);

// Writes one record. Thread: any.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace braid
