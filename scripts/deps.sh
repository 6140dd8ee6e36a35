#!/bin/sh
# Sees to what the tests need beyond Rust, gcc, make and Python 3, from Debian: a C++ compiler and pkg-config; for hosts
# inside them a JDK, Node.js, Valgrind and musl, and the commands for name spaces and mounts, without which those tests say
# that they are skipped.
set -eu
missing= wanted=
need() { # COMMAND PACKAGE
    command -v "$1" > /dev/null || missing="$missing $2"
}
want() {
    command -v "$1" > /dev/null || wanted="$wanted $2"
}
need g++ g++
need pkg-config pkg-config
want javac default-jdk-headless
want node nodejs
want unshare util-linux
want mount mount
want valgrind valgrind
want musl-gcc musl-tools
# Not in Debian's nodejs, but in that of others.
node=$(readlink -f "$(command -v node || echo /usr/bin/node)")
[ -e "${node%/bin/*}/include/node/node_api.h" ] || wanted="$wanted libnode-dev"
[ -z "$missing$wanted" ] && exit 0

install() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -q >&2 &&
        apt-get install -q -y --no-install-recommends "$@" >&2
}
# shellcheck disable=SC2086
if [ -n "$missing" ] && ! install $missing; then
    echo "missing:$missing. Install them, or run this as root on Debian." >&2
    exit 1
fi
# shellcheck disable=SC2086
if [ -n "$wanted" ] && ! install $wanted; then
    echo "SKIPPED: tests that need$wanted. Install them, or run this as root on Debian." >&2
fi
