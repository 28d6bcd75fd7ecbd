#!/usr/bin/env bash
# Builds Helm into the directory $1, with the definitions of the kinds that the chart can make beside it.
set -euo pipefail
out=${1%/}
cd "$(dirname "$0")"

# As in Helm's Makefile: without these it takes every cluster for Kubernetes 1.20.
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/client-go)
IFS=. read -r _ minor _ <<<"${kubernetes#v}"
helm=helm.sh/helm/v3
flags="-s -w -X $helm/internal/version.version=$(go list -m -f '{{.Version}}' $helm)"
for package in pkg/lint/rules pkg/chartutil; do
	flags+=" -X $helm/$package.k8sVersionMajor=1 -X $helm/$package.k8sVersionMinor=$minor"
done

# Built aside and moved: an interrupted build leaves nothing that looks finished.
mkdir -p "$(dirname "$out")"
building=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$building"' EXIT
CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="$flags" -o "$building/helm" $helm/cmd/helm
for definition in \
	cert-manager/cert-manager@v1.19.1:deploy/crds/cert-manager.io_{certificates,issuers}.yaml \
	prometheus-operator/prometheus-operator@v0.85.0:example/prometheus-operator-crd/monitoring.coreos.com_{prometheusrules,servicemonitors}.yaml; do
	module=$(cd "$building" && go mod download -json "github.com/${definition%%:*}" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	echo ---
	cat "$module/${definition#*:}"
done >"$building/definitions.yaml"
chmod 755 "$building"
rm -rf "$out"
mv "$building" "$out"
