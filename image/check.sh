#!/usr/bin/env bash
# Holds what image/build.sh put into the directory $1 and the file $1.cdx.json to what the image promises, and has it
# run (image/run.sh). As root on Linux.
set -euo pipefail
image=$(realpath "$1")
limit=20000000
cd "$(dirname "$0")/.."

fail() {
	echo "image: $*" >&2
	exit 1
}

[ "$(ls -A "$image")" = $'LICENSE\ntunnelguard' ] || fail "there is more in it, or less: $(ls -A "$image")"
if ldd "$image/tunnelguard" 2>&1 | grep '=>' >/dev/null; then fail "the binary is not static"; fi
unpacked=$(cat "$image"/* | wc -c)
packed=$(cat "$image"/* | gzip -c | wc -c)
echo "image: $unpacked bytes, $packed of them to pull"
[ -n "${PROFILE:-}" ] || [ "$unpacked" -lt $limit ] || fail "not less than $limit bytes"

for crate in tunnelguard aws-lc-sys kube rustls; do
	version=$(grep --after-context 1 --line-regexp "name = \"$crate\"" Cargo.lock | sed -n 's/^version = "\(.*\)"/\1/p')
	grep -q "\"pkg:cargo/$crate@$version\"" "$image.cdx.json" || fail "$image.cdx.json does not name $crate $version"
done

image/run.sh "$image"
