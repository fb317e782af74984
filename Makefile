# For people. The build itself is CMake and Ninja (CMakePresets.json); here stand the commands one types.
#
#   make              build build/release/kontor (on Debian 12 missing packages are installed first)
#   make run          the same, then see it work: two small models, sample documents, three questions
#   make check        build everything, run every test, end with a count
#   make check-long   the same with the long campaigns: fuzzing, soak, full-length context
#   make bench        speed beside llama.cpp on this machine
#   make install      install the program (PREFIX, default /usr/local; DESTDIR)
#   make service      the same, and make it a service that starts with the machine (systemd; as root)
#   make fmt          lay out the source;  make deps  only packages and fetched sources;  make clean  forget builds, keep downloads
PREFIX ?= /usr/local

.PHONY: all deps build run check check-long bench install service fmt clean
.DEFAULT_GOAL := all

all: build
	@echo "Built build/release/kontor. 'make run' shows it at work; 'build/release/kontor --help' lists its commands."

deps:
	@tools/deps.sh build
	@tools/fetch.sh build

build: deps
	@tools/build.sh

run: build
	@tools/run.sh

check:
	@tools/deps.sh build check
	@tools/check.sh

check-long:
	@tools/deps.sh build check long
	@tools/unpack.sh
	@tools/check.sh --long

bench:
	@tools/deps.sh build bench
	@tools/build.sh
	@bench/run.sh

install: build
	@DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

service: install
	@DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) tools/service.sh

fmt:
	@tools/deps.sh fmt
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# build/deps stays: it holds what was downloaded, and every file in it is checked before use.
clean:
	@find build -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} + 2>/dev/null || true
