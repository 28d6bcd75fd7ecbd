#!/usr/bin/env bash
# Builds alerts into the directory $1.
set -euo pipefail
out=${1%/}
cd "$(dirname "$0")"

# Built aside and moved: an interrupted build leaves nothing that looks finished.
mkdir -p "$(dirname "$out")"
building=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$building"' EXIT
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$building/alerts" .
chmod 755 "$building"
rm -rf "$out"
mv "$building" "$out"
