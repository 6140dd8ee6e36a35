#!/bin/sh
# Compiles for the systems that the tests cannot run on. Usage: scripts/check-targets.sh
set -eu
cd "$(dirname "$0")/.."

for target in x86_64-pc-windows-gnu aarch64-apple-darwin aarch64-unknown-linux-gnu; do
    if [ ! -d "$(rustc --print target-libdir --target "$target")" ] && ! timeout 300 rustup target add "$target"; then
        echo "SKIPPED: $target: its standard library is not installed, and \`rustup target add $target\` failed" >&2
        continue
    fi
    cargo clippy --locked --lib --bins --features show --target "$target" -- -D warnings
done
