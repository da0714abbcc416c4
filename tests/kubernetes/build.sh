#!/usr/bin/env bash
# Builds etcd, the API server and the controllers of Jobs as one program, once, and prints where it lies.
# Go 1.23 or newer; minutes of two cores the first time. Several may ask at once: one builds, the others wait.
set -euo pipefail
cd "$(dirname "$0")"
cache=../../.kubernetes
version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 }' go.mod)
# Nothing is optimised: it is built more often than it is busy.
flags=(-trimpath "-gcflags=all=-N -l" "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=$version")
key=$({ echo "${flags[@]}"; cat go.mod go.sum ./*.go; } | sha256sum | cut -c1-16)
program=$cache/control-plane-$key

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -x "$program" ]; then
    PATH=$(readlink -f "$cache")/go/bin:$PATH # where .ci/run puts one that is new enough
    command -v go >/dev/null || { echo "go is not installed (1.23 or newer is wanted)" >&2; exit 1; }
    # go.sum vouches for what is downloaded.
    env CGO_ENABLED=0 GOFLAGS=-mod=readonly GOSUMDB=off GOTOOLCHAIN=local \
        nice -n 10 go build -p 2 "${flags[@]}" -o "$program.part" . >&2
    mv "$program.part" "$program"
fi
readlink -f "$program"
