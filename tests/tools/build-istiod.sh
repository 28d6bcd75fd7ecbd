#!/usr/bin/env bash
# Builds the istiod of the module in directory $1 into the directory $2.
set -euo pipefail
out=${2%/}
cd "$1"

istio=$(go list -m -f '{{.Version}}' istio.io/istio)
version=istio.io/istio/pkg/version
flags="-s -w -X $version.buildVersion=$istio -X $version.buildGitRevision=${istio##*-} -X $version.buildStatus=Clean"

# Built aside and moved: an interrupted build leaves nothing that looks finished.
mkdir -p "$(dirname "$out")"
building=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$building"' EXIT
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="$flags" -o "$building/pilot-discovery" .
chmod 755 "$building"
rm -rf "$out"
mv "$building" "$out"
