#!/usr/bin/env bash
# Holds what image/build.sh put into the directory $1 to what the image promises, and has it run (image/run.sh). As
# root on Linux.
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
[ -n "${PROFILE:-}" ] || [ "$packed" -le $limit ] || fail "more than $limit bytes to pull"

grep -q 'dep-v0' "$image/tunnelguard" || fail "the binary does not say what is in it (cargo auditable)"

image/run.sh "$image"
