#!/bin/sh
# Every test in every language. Usage: scripts/test.sh
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
}

step tools
scripts/deps.sh

step format and lints
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo clippy --locked --all-targets --features show -- -D warnings

step other systems
scripts/check-targets.sh

step what users get
scripts/dist.sh

step musl
scripts/musl.sh

step Rust, C and C++
cargo test --locked

step Python
python3 bindings/python/tests/every_python.py --few

step Go
scripts/test-go.sh

step all tests passed
