#!/usr/bin/env bash
# Builds the image's files into the directory $1: what the Dockerfile does, with nothing but Rust, a C compiler and
# cargo-auditable. PROFILE=dev builds it faster, larger and slower.
set -euo pipefail
out=$1
cd "$(dirname "$0")/.."
profile=${PROFILE:-image}
target=$(rustc -vV | sed -n 's/^host: //p')

# The C library, too: there is none in the image. glibc 2.34 and newer look into files and DNS without modules.
flags="-C target-feature=+crt-static"
# No path of the machine that builds stands in the binary, so that it is the same wherever it is built.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="$flags --remap-path-prefix=$PWD=/build --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/build -ffile-prefix-map=$cargo_home=/cargo"
export CARGO_INCREMENTAL=0
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# Its own target: what runs while it is built, macros above all, cannot be static.
cargo auditable build --locked --profile "$profile" --target "$target" --bin tunnelguard

mkdir -p "$out"
install -m 0755 "$CARGO_TARGET_DIR/$target/${profile/#dev/debug}/tunnelguard" "$out/tunnelguard"
install -m 0644 LICENSE "$out/LICENSE"
touch --date="@${SOURCE_DATE_EPOCH:-0}" "$out/tunnelguard" "$out/LICENSE" "$out"
