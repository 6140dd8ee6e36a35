#!/bin/sh
# Builds what users get into target/dist: lib/ (shared and static library, pkg-config file), bin/ (crash-monitor, and
# crash-monitor-show, which does the work of `crash-monitor show`), include/.
# Usage: scripts/dist.sh
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
major=${version%%.*}
target=${CARGO_TARGET_DIR:-target}
dist=target/dist

# The feature is one executable's alone: the libraries are the same with it.
cargo build --release --locked --features show

# The executable that cm_install starts is small and linked statically: it starts in three quarters of the time, and takes
# half the memory. Where there is no static C library it is linked as usual.
host=$(rustc -vV | sed -n 's/^host: //p')
static() {
    RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build --profile monitor --locked --bin crash-monitor --target "$host" \
        --target-dir "$target/monitor"
}
static '-C target-feature=+crt-static' || static ''

mkdir -p "$dist/lib/pkgconfig" "$dist/bin" "$dist/include"
scripts/put.sh "$target/release/libcrash_monitor.so" "$dist/lib/libcrash_monitor.so.$version"
ln -sf "libcrash_monitor.so.$version" "$dist/lib/libcrash_monitor.so.$major"
ln -sf "libcrash_monitor.so.$major" "$dist/lib/libcrash_monitor.so"
scripts/put.sh "$target/monitor/$host/monitor/crash-monitor" "$dist/bin/crash-monitor"
scripts/put.sh "$target/release/crash-monitor" "$dist/bin/crash-monitor-show"
for header in include/*.h bindings/cpp/*.hpp; do
    scripts/put.sh "$header" "$dist/include/${header##*/}"
done

scripts/static-library.sh "$dist/lib/libcrash_monitor.a" "$target/release/libcrash_monitor.a"

cat > "$dist/lib/pkgconfig/crash_monitor.pc" <<PC
prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: crash_monitor
Description: Two-process minidump pipeline
Version: $version
Cflags: -I\${includedir}
Libs: -L\${libdir} -lcrash_monitor
Libs.private: -lpthread -ldl
PC
touch "$dist/.made"
