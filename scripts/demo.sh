#!/bin/sh
# Crashes a C host and shows the dump that its monitor wrote. Usage: scripts/demo.sh DIRECTORY
set -eu
cd "$(dirname "$0")/.."
directory=$1
rm -rf "$directory"
mkdir -p "$directory"

make -s -C examples-c CRASH_MONITOR="$PWD/target/dist" OUT="$PWD/$directory" "$PWD/$directory/minimal"

echo "\$ $directory/minimal $directory/dumps"
status=0
"$directory/minimal" "$directory/dumps" || status=$?
echo "The host ended with status $status ($((status - 128)) is its signal). Its monitor wrote:"
dump=$(ls "$directory"/dumps/*.dmp)
echo
echo "\$ crash-monitor show $dump"
target/dist/bin/crash-monitor show "$dump"
