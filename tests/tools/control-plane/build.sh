#!/usr/bin/env bash
# Builds control-plane into the directory $1, with Istio's CRDs beside it.
#
# With KUBEBUILDER_ASSETS set its servers are used, so none are built in: half a minute, not three.
set -euo pipefail
out=${1%/}
cd "$(dirname "$0")"

kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
# Without these the API server calls itself v0.0.0-master, which clients misread.
version=k8s.io/component-base/version
flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=$major -X $version.gitMinor=$minor -X $version.gitTreeState=clean"

# Built aside and moved: an interrupted build leaves nothing that looks finished.
mkdir -p "$(dirname "$out")"
building=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$building"' EXIT
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="$flags" ${KUBEBUILDER_ASSETS:+-tags assets} -o "$building/control-plane" .
go mod download istio.io/api
cp "$(go list -m -f '{{.Dir}}' istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml" "$building/istio-crds.yaml"
chmod -R u+w "$building"
chmod 755 "$building"
rm -rf "$out"
mv "$building" "$out"
