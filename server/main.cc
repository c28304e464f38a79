// braid: serves language models.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "engine/ranks/rank_worker.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "models/weights/mapped_file.h"
#include "server/config.h"
#include "server/daemon.h"
#include "server/inspect.h"
#include "server/router/router.h"

extern char** environ;

namespace {

absl::Status Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const braid::Command command, braid::ReadCommand(argc, argv, environ));
  switch (command.kind) {
    case braid::Command::kPrint: std::fputs(command.text.c_str(), stdout); return absl::OkStatus();
    case braid::Command::kInspect: {
      ASSIGN_OR_RETURN(const std::string text, braid::Inspect(command.inspect));
      std::fputs(text.c_str(), stdout);
      return absl::OkStatus();
    }
    case braid::Command::kRank: std::exit(braid::RankMain(command.rank_fd, command.rank));
    case braid::Command::kRoute: braid::SetLogLevel(command.route.log_level); return braid::Router::Run(command.route);
    case braid::Command::kServe: braid::SetLogLevel(command.serve.log_level); return braid::Daemon::Run(command.serve);
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  braid::InstallTruncationGuard();
  std::string error;
  try {
    const absl::Status status = Run(argc, argv);
    if (status.ok()) return 0;
    error = std::string(status.message());
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  for (char& c : error) c = c == '\n' ? ' ' : c;
  std::fprintf(stderr, "error: %s\n", error.c_str());
  return 1;
}
