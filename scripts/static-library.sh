#!/bin/sh
# Makes the static library of others, as one object whose only global symbols are the C API: a host that is linked with it gets
# no second copy of somebody else's Rust runtime symbols.
# Usage: scripts/static-library.sh RESULT.a PART.a...
set -eu
result=$1
shift
object=$result.o
roots=$(sed -n 's/^CM_.* \**\(cm_[a-z_]*\)(.*$/-u \1/p' include/crash_monitor.h)
# shellcheck disable=SC2086 # one word each
ld -r --gc-sections $roots -o "$object" "$@"
# The bitcode that Rust's own standard library carries confuses binutils' plugins once objects are merged.
objcopy --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd --wildcard --keep-global-symbol='cm_*' "$object"
rm -f "$result"
ar crs "$result" "$object"
rm "$object"
