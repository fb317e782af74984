# Cross build for 64-bit ARM; its tests run under qemu-user. Only the parts without foreign libraries are built (KONTOR_CROSS_CORE).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;/usr/aarch64-linux-gnu")
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(KONTOR_CROSS_CORE ON CACHE BOOL "Build only quant, kernels and their tests")
