#!/usr/bin/env bash
# Builds the image's files into the directory $1, and what is in them into the file $1.cdx.json: what the Dockerfile
# does, with nothing but Rust, a C compiler, cargo-auditable and auditable2cdx. ARCH=amd64 or arm64 is for whom; where
# that is not this machine's, image/cross.sh installs what it takes. PROFILE=dev builds it faster, larger and slower.
set -euo pipefail
out=$1
cd "$(dirname "$0")/.."
profile=${PROFILE:-image}
host=$(rustc -vV | sed -n 's/^host: //p')
case ${ARCH:-} in
"") target=$host ;;
amd64) target=x86_64-unknown-linux-gnu ;;
arm64) target=aarch64-unknown-linux-gnu ;;
*) echo "image: nothing is known of ARCH=$ARCH: it is built for amd64 and arm64" >&2 && exit 1 ;;
esac
if [ "$target" != "$host" ]; then
	compiler=${target%%-*}-linux-gnu-gcc
	for needed in "$(rustc --print target-libdir --target "$target")" "/usr/bin/$compiler"; do
		[ -e "$needed" ] || { echo "image: $target needs $needed: image/cross.sh installs it on Debian" >&2 && exit 1; }
	done
	linker=CARGO_TARGET_${target//-/_}_LINKER
	export "${linker^^}=$compiler"
fi

# The C library, too: there is none in the image. glibc 2.34 and newer look into files and DNS without modules.
flags="-C target-feature=+crt-static"
# Relocations as a bitmap: a megabyte less. The linker says so where an architecture has no use for it.
flags+=" -C link-arg=-Wl,-z,pack-relative-relocs"
# No path of the machine that builds stands in the binary, so that it is the same wherever it is built.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
paths=("$PWD=/build" "$CARGO_TARGET_DIR=/build/target" "${CARGO_HOME:-$HOME/.cargo}=/cargo")
export RUSTFLAGS="$flags ${paths[*]/#/--remap-path-prefix=}"
export CFLAGS="${paths[*]/#/-ffile-prefix-map=}"
export CARGO_INCREMENTAL=0
# Its own target: what runs while it is built, macros above all, cannot be static.
cargo auditable build --locked --profile "$profile" --target "$target" --bin tunnelguard

mkdir -p "$out"
install -m 0755 "$CARGO_TARGET_DIR/$target/${profile/#dev/debug}/tunnelguard" "$out/tunnelguard"
install -m 0644 LICENSE "$out/LICENSE"
# Read back from the binary, so that it is about this one. There is no address to download it from, and in its purl a
# `?` would have to stand before that.
auditable2cdx "$out/tunnelguard" | sed 's/&download_url=redacted//' >"$out.cdx.json"
touch --date="@${SOURCE_DATE_EPOCH:-0}" "$out/tunnelguard" "$out/LICENSE" "$out"
