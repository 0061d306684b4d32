#!/bin/sh
# Builds the runtime as a WebAssembly module: runtime/wasm/build.sh OUTPUT. The same version of ziglang gives the same
# bytes on every machine. PYTHON is the interpreter that has the package ziglang.
#
# The loops of a decoder and of a network are in two sources, which are compiled for speed, and the others for size. Zig
# takes -Oz for -Os, so clang is told again. -inline-threshold=5 inlines the functions marked `inline` and few others.
# Without unrolling, operators are as fast: those that need it say so.
set -eu
case "$1" in /*) output=$1 ;; *) output=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache"

zig_cc() {
  "${PYTHON:-python3}" -m ziglang cc -target wasm32-freestanding -mcpu=generic+simd128+bulk_memory \
    -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-language-extension-token \
    -mllvm -inline-threshold=5 -ffreestanding -fno-sanitize=all -Iruntime/wasm/libc -Iruntime/c "$@"
}

for source in runtime/c/sqz*.c runtime/wasm/sqz_web.c runtime/wasm/libc/libc.c; do
  case "$source" in
    */sqz_context.c) flags=-O3 ;;
    */sqz_operators.c) flags="-O3 -fno-unroll-loops" ;;
    *) flags="-Oz -Xclang -Oz" ;;
  esac
  zig_cc $flags -c "$source" -o "$cache/$(basename "$source" .c).o"
done
zig_cc -nostdlib -s -Wl,--no-entry -Wl,-z,stack-size=65536 "$cache"/*.o -o "$output"
