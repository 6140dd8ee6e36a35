#!/bin/sh
# The Go binding's checks and tests, with a current Go and the oldest supported one, against target/dist.
set -eu
cd "$(dirname "$0")/.."
dist=$PWD/target/dist
export CGO_CFLAGS="-I$dist/include" CGO_LDFLAGS="-L$dist/lib -Wl,-rpath,$dist/lib" GOTOOLCHAIN=local GOPROXY=off

for version in '' 1.21.13; do
    # shellcheck disable=SC2086 # none, or one word
    go=$(scripts/go.sh $version)
    "$go" version
    unformatted=$("$(dirname "$go")/gofmt" -l bindings/go)
    if [ -n "$unformatted" ]; then
        echo "not formatted as gofmt does it: $unformatted" >&2
        exit 1
    fi
    (
        cd bindings/go
        "$go" vet . ./internal/... ./testdata/*/
        # Go's cache of test results does not see the library: -count=1.
        "$go" test -count=1 ./...
    )
done
