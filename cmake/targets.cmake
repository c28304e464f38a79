# The three words our CMakeLists files are written in: braid_library, braid_test, braid_bench.

add_library(braid_flags INTERFACE)
target_compile_features(braid_flags INTERFACE cxx_std_20)
target_include_directories(braid_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(braid_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers -Wno-psabi
  -Wno-maybe-uninitialized  # GCC 12 sees ghosts in absl::InlinedVector at -O3
  -ffp-contract=off)
if(BRAID_SANITIZE)
  target_compile_options(braid_flags INTERFACE -fsanitize=${BRAID_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(braid_flags INTERFACE -fsanitize=${BRAID_SANITIZE})
  if(BRAID_SANITIZE MATCHES "thread")
    target_compile_options(braid_flags INTERFACE -Wno-tsan)
  endif()
endif()

# braid_precompile(NAME HEADER DEPS...): a target whose parsed HEADER others reuse. A third of a clean build's time.
function(braid_precompile name header)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/${name}.cc CONTENT "")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE braid_flags ${ARGN})
  target_precompile_headers(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/${header})
endfunction()
braid_precompile(braid_common_headers common_headers.h absl::statusor absl::flat_hash_map nlohmann_json::nlohmann_json)
if(BRAID_TESTS)
  braid_precompile(braid_test_headers test_headers.h absl::statusor absl::flat_hash_map nlohmann_json::nlohmann_json GTest::gmock)
  target_compile_options(braid_test_headers PRIVATE -O1)
endif()

# braid_library(NAME SOURCES... [DEPS ...])
function(braid_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC braid_flags ${ARG_DEPS})
  target_precompile_headers(${name} REUSE_FROM braid_common_headers)
endfunction()

set(braid_test_timeout 1200)  # seconds
if(BRAID_SANITIZE)
  set(braid_test_timeout 7200)
endif()

# braid_test(NAME SOURCES... [DEPS ...]): a GoogleTest binary, one ctest entry.
function(braid_test name)
  if(NOT BRAID_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE braid_flags ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM braid_test_headers)
  target_compile_options(${name} PRIVATE -O1)  # of a test the libraries' time counts, and the compiler's
  target_compile_definitions(${name} PRIVATE BRAID_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${braid_test_timeout})
endfunction()

# braid_bench(NAME SOURCES... [DEPS ...]): a Google Benchmark binary.
function(braid_bench name)
  if(NOT BRAID_BENCHES)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE braid_flags ${ARG_DEPS} benchmark::benchmark benchmark::benchmark_main)
endfunction()
