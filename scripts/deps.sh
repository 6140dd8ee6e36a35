#!/bin/sh
# Sees to what the tests need beyond Rust, gcc, make and Python 3: a C++ compiler and pkg-config from Debian.
set -eu
missing=
command -v g++ > /dev/null || missing="$missing g++"
command -v pkg-config > /dev/null || missing="$missing pkg-config"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "missing:$missing. Install them, or run this as root on Debian." >&2
    exit 1
fi
apt-get update -q >&2
# shellcheck disable=SC2086 # one word a package
apt-get install -q -y --no-install-recommends $missing >&2
