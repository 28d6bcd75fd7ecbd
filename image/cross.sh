#!/usr/bin/env bash
# Installs what it takes to build for ARCH (amd64 or arm64), if that is not this machine's: the standard library by
# rustup, a C compiler and its library from Debian. As root, in the Dockerfile's first stage or on Debian itself.
set -euo pipefail
case $(uname -m)/${ARCH:-} in
x86_64/arm64) rust=aarch64 debian=aarch64 library=arm64 ;;
aarch64/amd64) rust=x86_64 debian=x86-64 library=amd64 ;;
x86_64/amd64 | aarch64/arm64 | */) exit 0 ;;
*) echo "image: nothing is known of ARCH=$ARCH on $(uname -m): it is built for amd64 and arm64" >&2 && exit 1 ;;
esac
rustup target add "$rust-unknown-linux-gnu"
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends "gcc-$debian-linux-gnu" "libc6-dev-$library-cross"
