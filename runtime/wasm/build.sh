#!/bin/sh
# Builds a WebAssembly module: runtime/wasm/build.sh MODULE OUTPUT. The module `web` is the runtime for browsers, and
# `streams` the decoder of the Python package. The same version of ziglang gives the same bytes on every machine. PYTHON
# is the interpreter that has the package ziglang.
#
# In the runtime, the loops of a decoder and of a network are in two sources, which are compiled for speed, and the
# others for size. Zig takes -Oz for -Os, so clang is told again. -inline-threshold=5 inlines the functions marked
# `inline` and few others. Without unrolling, operators are as fast: those that need it say so.
set -eu
module=$1
case "$2" in /*) output=$2 ;; *) output=$PWD/$2 ;; esac
cd "$(dirname "$0")/../.."
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache"

zig_cc() {
  "${PYTHON:-python3}" -m ziglang cc -target wasm32-freestanding -mcpu=generic+simd128+bulk_memory \
    -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-language-extension-token \
    -mllvm -inline-threshold=5 -ffreestanding -fno-sanitize=all -Iruntime/wasm/libc -Iruntime/c "$@"
}

case "$module" in
  web) sources="runtime/c/sqz*.c runtime/wasm/sqz_web.c" size="-Oz -Xclang -Oz" ;;
  streams) sources="runtime/c/sqz_codecs.c runtime/c/sqz_context.c runtime/wasm/sqz_streams.c" size=-O3 ;;
esac
for source in $sources runtime/wasm/libc/libc.c; do
  case "$source" in
    */sqz_context.c) flags=-O3 ;;
    */sqz_operators.c) flags="-O3 -fno-unroll-loops" ;;
    *) flags=$size ;;
  esac
  zig_cc $flags -c "$source" -o "$cache/$(basename "$source" .c).o"
done
zig_cc -nostdlib -s -Wl,--no-entry -Wl,-z,stack-size=65536 "$cache"/*.o -o "$output"
