# kt_module(NAME SOURCES...): one folder of src/ as a static library kt_NAME. Its CMakeLists.txt then says
# what it may use: target_link_libraries(kt_NAME PUBLIC kt_base ...). Arrows go down only (docs/ARCHITECTURE.md).
function(kt_module name)
    add_library(kt_${name} STATIC ${ARGN})
endfunction()

# kt_test(NAME SOURCES... LIBS libs... [ARGS args...] [LABELS labels...] [TIMEOUT s] [SLOW_SANITIZED]): one cmocka program, one ctest entry.
# LABELS slow keeps it out of `make check` (it runs in `make check-long`); SLOW_SANITIZED does so in the builds with
# sanitizers only, for tests whose worth is in their numbers and whose code other tests walk through as well.
# Environment for tests: KONTOR_BIN (the program), KONTOR_TESTDATA (fetched models and data, may be missing files: skip),
# KONTOR_SOURCE (the source tree).
function(kt_test name)
    cmake_parse_arguments(T "SLOW_SANITIZED" "TIMEOUT" "LIBS;ARGS;LABELS;DEPENDS" ${ARGN})
    if(T_SLOW_SANITIZED AND KONTOR_SANITIZE)
        list(APPEND T_LABELS slow)
    endif()
    add_executable(${name} ${T_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE kt_options ${T_LIBS} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${CMAKE_CROSSCOMPILING_EMULATOR} $<TARGET_FILE:${name}> ${T_ARGS})
    if(NOT T_TIMEOUT)
        set(T_TIMEOUT 600)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}"
        ENVIRONMENT "KONTOR_BIN=$<TARGET_FILE:kontor>;KONTOR_TESTDATA=${KONTOR_TESTDATA};KONTOR_SOURCE=${PROJECT_SOURCE_DIR};CMOCKA_MESSAGE_OUTPUT=STDOUT")
endfunction()

# kt_fuzz(NAME SOURCE LIBS...): a parser's fuzz target. With KONTOR_FUZZ it is a libFuzzer program; without, an
# ordinary test that replays tests/fuzz/corpus/NAME and a few thousand mutations of it (tests/fuzz/replay.c).
function(kt_fuzz name source)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE kt_options ${ARGN})
    if(KONTOR_FUZZ)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME ${name} COMMAND $<TARGET_FILE:${name}> ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(${name} PROPERTIES TIMEOUT 600)
    endif()
endfunction()

# kt_script(NAME FILE [ARGS args...] [TIMEOUT s] [LABELS ...]): a test that is a Python 3 (standard library) or shell script, with the same environment.
function(kt_script name file)
    cmake_parse_arguments(T "" "TIMEOUT" "LABELS;ARGS" ${ARGN})
    if(NOT T_TIMEOUT)
        set(T_TIMEOUT 900)
    endif()
    if(file MATCHES "\\.py$")
        set(runner python3)
    else()
        set(runner bash)
    endif()
    add_test(NAME ${name} COMMAND ${runner} ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${T_ARGS})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}"
        ENVIRONMENT "KONTOR_BIN=$<TARGET_FILE:kontor>;KONTOR_TESTDATA=${KONTOR_TESTDATA};KONTOR_SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
