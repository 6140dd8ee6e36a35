#!/bin/sh
# Installs a file under a new name and renames it: a process that runs the old file keeps it. Usage: scripts/put.sh FROM TO
set -eu
cp "$1" "$2.new"
mv -f "$2.new" "$2"
