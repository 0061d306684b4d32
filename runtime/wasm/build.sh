#!/bin/sh
# Builds the runtime as a WebAssembly module: runtime/wasm/build.sh OUTPUT. The same version of ziglang gives the same
# bytes on every machine. PYTHON is the interpreter that has the package ziglang.
#
# -inline-threshold=5 inlines the functions marked `inline` and few others: a module of two thirds of the size, as fast.
set -eu
case "$1" in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache"
"${PYTHON:-python3}" -m ziglang cc -target wasm32-freestanding -mcpu=generic+simd128+bulk_memory \
  -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-language-extension-token \
  -O3 -mllvm -inline-threshold=5 -ffreestanding -fno-sanitize=all -nostdlib -s -Wl,--no-entry -Wl,-z,stack-size=65536 \
  -Iruntime/wasm/libc -Iruntime/c runtime/c/sqz*.c runtime/wasm/sqz_web.c runtime/wasm/libc/libc.c -o "$output"
