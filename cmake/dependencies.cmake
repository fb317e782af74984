# Libraries from the system's packages (tools/packages.txt installs them).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(EXPAT REQUIRED IMPORTED_TARGET expat)
pkg_check_modules(XML2 REQUIRED IMPORTED_TARGET libxml-2.0)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(UCHARDET REQUIRED IMPORTED_TARGET uchardet)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
if(KONTOR_TESTS)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

# SQLite3 Multiple Ciphers: its amalgamation, fetched and checked by tools/fetch.sh.
set(KONTOR_DEPS "${PROJECT_SOURCE_DIR}/build/deps" CACHE PATH "Where tools/fetch.sh put sources and models")
set(KONTOR_TESTDATA "${KONTOR_DEPS}/models" CACHE PATH "Models and data for tests")
