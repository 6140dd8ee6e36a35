#!/bin/sh
# Builds the library and the monitor for musl into target/musl: lib/ (shared and static library), bin/, include/. Needs musl-gcc
# (Debian: musl-tools). Usage: scripts/musl.sh
set -eu
cd "$(dirname "$0")/.."
machine=$(uname -m)-unknown-linux-musl
dist=target/musl
build=target/musl-build

skip() {
    echo "SKIPPED: nothing is built for musl: $*" >&2
    rm -rf "$dist"
    exit 0
}
command -v musl-gcc > /dev/null || skip "musl-gcc is missing"
libraries=$(rustc --print target-libdir --target "$machine")
[ -d "$libraries" ] || timeout 300 rustup target add "$machine" || skip "\`rustup target add $machine\` failed"

# Instead of gcc's unwinder, which Debian has for glibc alone, the one that comes with Rust.
mkdir -p "$build/unwinder"
unwinder=$libraries/self-contained/libunwind.a
echo "INPUT($unwinder)" > "$build/unwinder/libgcc_s.so"

# One build for both libraries: of code for a shared one a static one can be made too.
linker=CARGO_TARGET_$(echo "$machine" | tr a-z- A-Z_)_LINKER
env "$linker=musl-gcc" RUSTFLAGS="${RUSTFLAGS:-} -D warnings -C target-feature=-crt-static -C link-arg=-Wl,--build-id \
    -L $PWD/$build/unwinder" \
    cargo build --release --locked --lib --bin crash-monitor --target "$machine" --target-dir "$build"

mkdir -p "$dist/lib" "$dist/bin" "$dist/include"
scripts/put.sh "$build/$machine/release/libcrash_monitor.so" "$dist/lib/libcrash_monitor.so.0"
ln -sf libcrash_monitor.so.0 "$dist/lib/libcrash_monitor.so"
scripts/put.sh "$build/$machine/release/crash-monitor" "$dist/bin/crash-monitor"
scripts/static-library.sh "$dist/lib/libcrash_monitor.a" "$build/$machine/release/libcrash_monitor.a" "$unwinder"
for header in include/*.h bindings/cpp/*.hpp; do
    scripts/put.sh "$header" "$dist/include/${header##*/}"
done
touch "$dist/.made"
