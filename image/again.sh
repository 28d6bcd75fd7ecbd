#!/usr/bin/env bash
# Builds the image's files once more, in another directory, with a Cargo home of its own, and compares them with those
# in the directory $1: byte for byte, and as a layer with modes and times.
set -euo pipefail
first=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$(dirname "$0")/.."

mkdir -p "$work/some/other/place" "$work/cargo"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$work/some/other/place"
configuration=${CARGO_HOME:-$HOME/.cargo}/config.toml
if [ -e "$configuration" ]; then cp "$configuration" "$work/cargo"; fi
env --unset CARGO_TARGET_DIR CARGO_HOME="$work/cargo" "$work/some/other/place/image/build.sh" "$work/again"

layer() {
	tar --directory "$1" --sort=name --numeric-owner --create LICENSE tunnelguard | sha256sum | cut -d' ' -f1
}
cmp "$first/tunnelguard" "$work/again/tunnelguard" && cmp "$first.cdx.json" "$work/again.cdx.json" && [ "$(layer "$first")" = "$(layer "$work/again")" ] || {
	echo "image: built elsewhere, it is another one" >&2
	exit 1
}
echo "image: built in two places, the same bytes, as a layer sha256:$(layer "$first")"
