#!/bin/sh
# Sees to what the tests need beyond Rust, gcc, make and Python 3, from Debian: a C++ compiler, pkg-config, a JDK and
# Node.js for hosts inside them, and the commands for name spaces and mounts.
set -eu
missing=
need() { # COMMAND PACKAGE
    command -v "$1" > /dev/null || missing="$missing $2"
}
need g++ g++
need pkg-config pkg-config
need javac default-jdk-headless
need node nodejs
need unshare util-linux
need mount mount
# Not in Debian's nodejs, but in that of others.
node=$(readlink -f "$(command -v node || echo /usr/bin/node)")
[ -e "${node%/bin/*}/include/node/node_api.h" ] || missing="$missing libnode-dev"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "missing:$missing. Install them, or run this as root on Debian." >&2
    exit 1
fi
apt-get update -q >&2
# shellcheck disable=SC2086 # one word a package
apt-get install -q -y --no-install-recommends $missing >&2
