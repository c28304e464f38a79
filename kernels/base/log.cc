#include "kernels/base/log.h"

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace braid {
namespace {

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("braid", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    return made;
  }();
  return *logger;
}

constexpr spdlog::level::level_enum kSpdlogLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                       spdlog::level::err};
constexpr const char* kLevelNames[] = {"debug", "info", "warning", "error"};

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

void SetLogLevel(LogLevel level) { Logger().set_level(kSpdlogLevels[static_cast<int>(level)]); }

bool ParseLogLevel(std::string_view name, LogLevel* level) {
  for (int i = 0; i < 4; ++i) {
    if (name == kLevelNames[i]) {
      *level = static_cast<LogLevel>(i);
      return true;
    }
  }
  return false;
}

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  const spdlog::level::level_enum spdlog_level = kSpdlogLevels[static_cast<int>(level)];
  if (!Logger().should_log(spdlog_level)) return;
  nlohmann::ordered_json record = {
      {"time", UnixSeconds()}, {"level", kLevelNames[static_cast<int>(level)]}, {"message", message}};
  for (const LogField& field : fields) {
    std::visit([&](const auto& value) { record[std::string(field.name)] = value; }, field.value);
  }
  // Bytes that are no UTF-8 become U+FFFD: a log line is always valid JSON.
  Logger().log(spdlog_level, record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace braid
