// Whether this build is slowed down by a sanitizer: tests that guard against hanging then do not look at the clock.
#pragma once

namespace braid::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kInstrumented = true;
#else
inline constexpr bool kInstrumented = false;
#endif

}  // namespace braid::testing
