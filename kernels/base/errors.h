// CHECK for our own faults; RETURN_IF_ERROR and ASSIGN_OR_RETURN for the world's.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace braid {

// Collects the words streamed into a failed CHECK and ends the process when it dies.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition) {
    words_ << file << ':' << line << ": CHECK failed: " << condition << ' ';
  }
  [[noreturn]] ~CheckFailure() {
    std::fprintf(stderr, "%s\n", words_.str().c_str());
    std::abort();
  }
  std::ostream& words() { return words_; }

 private:
  std::ostringstream words_;
};

// Gives a streamed CHECK the type void, so that it fits the other arm of ?:.
struct Voidify {
  void operator&(std::ostream&) const {}
};

}  // namespace braid

// Ends the process with `condition`, the place and whatever is streamed behind: CHECK(a < b) << "id " << id;
#define CHECK(condition) \
  (condition) ? (void)0 : ::braid::Voidify() & ::braid::CheckFailure(__FILE__, __LINE__, #condition).words()
#define CHECK_EQ(a, b) CHECK((a) == (b)) << "(" << (a) << " vs " << (b) << ") "
#define CHECK_LE(a, b) CHECK((a) <= (b)) << "(" << (a) << " vs " << (b) << ") "
#define CHECK_LT(a, b) CHECK((a) < (b)) << "(" << (a) << " vs " << (b) << ") "
#define CHECK_GE(a, b) CHECK((a) >= (b)) << "(" << (a) << " vs " << (b) << ") "
#define CHECK_GT(a, b) CHECK((a) > (b)) << "(" << (a) << " vs " << (b) << ") "

// Leaves the function with the status of `expression` unless it is OK.
#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define BRAID_JOIN_INNER(a, b) a##b
#define BRAID_JOIN(a, b) BRAID_JOIN_INNER(a, b)
// ASSIGN_OR_RETURN(auto x, F()): x = F()'s value, or leaves the function with F()'s status.
#define ASSIGN_OR_RETURN(left, expression) BRAID_ASSIGN_OR_RETURN(BRAID_JOIN(status_or_, __LINE__), left, expression)
#define BRAID_ASSIGN_OR_RETURN(result, left, expression) \
  auto result = (expression);                            \
  if (!result.ok()) {                                    \
    return std::move(result).status();                   \
  }                                                      \
  left = std::move(result).value()
