#!/bin/sh
# Compiles and lints for the systems that the tests cannot run on. Usage: scripts/check-targets.sh
set -eu
cd "$(dirname "$0")/.."
targets="x86_64-pc-windows-gnu aarch64-apple-darwin aarch64-unknown-linux-gnu"

installed() {
    [ -d "$(rustc --print target-libdir --target "$1")" ]
}

missing=
for target in $targets; do
    installed "$target" || missing="$missing $target"
done
# shellcheck disable=SC2086 # one word each
[ -z "$missing" ] || timeout 300 rustup target add $missing || true

for target in $targets; do
    if installed "$target"; then
        cargo clippy --locked --lib --bins --features show --target "$target" -- -D warnings
    else
        echo "SKIPPED: nothing is compiled for $target: \`rustup target add $target\` failed" >&2
    fi
done
