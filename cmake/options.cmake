# Options, the language, and the warnings that are errors. Everything links kt_options.
option(KONTOR_TESTS "Build the tests" ON)
option(KONTOR_FUZZ "Build the fuzz targets with libFuzzer (clang only)" OFF)
set(KONTOR_SANITIZE "" CACHE STRING "Sanitizers: empty, 'address,undefined' or 'thread'")
option(KONTOR_COVERAGE "Instrument for coverage" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)

add_library(kt_options INTERFACE)
target_include_directories(kt_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(kt_options INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
# -ffp-contract=off: the kernels promise the same bits at every level, so the compiler may not fuse on its own.
target_compile_options(kt_options INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes
    -Wwrite-strings -Wundef -Wformat=2 -fno-common -ffp-contract=off -fno-math-errno
    -fstack-protector-strong)

if(KONTOR_SANITIZE)
    target_compile_options(kt_options INTERFACE -fsanitize=${KONTOR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(kt_options INTERFACE -fsanitize=${KONTOR_SANITIZE})
endif()
if(KONTOR_COVERAGE)
    target_compile_options(kt_options INTERFACE --coverage)
    target_link_options(kt_options INTERFACE --coverage)
endif()
if(KONTOR_FUZZ)
    target_compile_options(kt_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
