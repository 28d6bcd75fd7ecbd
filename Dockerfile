# One static binary on an empty base. How to build and verify it, and what is in it: image/README.md.
#
# The image of Rust with its compiler. A release pins it by digest: --build-arg RUST=rust@sha256:...
ARG RUST=rust:1.95.0-slim-bookworm
# The stage that builds runs on the machine's own platform; for another one it crosses over, nothing is emulated.
FROM --platform=$BUILDPLATFORM $RUST AS build
WORKDIR /build
RUN cargo install --locked --version 0.7.7 cargo-auditable && \
    cargo install --locked --version 0.1.0 auditable2cdx
# amd64 or arm64, by `--platform`; the machine's own where nothing is said.
ARG TARGETARCH
# Of the newest commit: what is built from it has no other time in it.
ARG SOURCE_DATE_EPOCH=0
COPY . .
RUN export ARCH=$TARGETARCH; image/cross.sh && image/build.sh /image

# What is in it, to be written into a directory: `--target sbom --output .`
FROM scratch AS sbom
COPY --from=build /image.cdx.json /tunnelguard.cdx.json

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="tunnelguard" \
      org.opencontainers.image.description="Keeps Istio from breaking HTTP CONNECT proxies: an admission webhook for ServiceEntries" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/ /
# By number: there is no /etc/passwd, and runAsNonRoot wants to see that it is not 0.
USER 65532:65532
# Reviews, and health with metrics, where the chart lets it listen.
EXPOSE 10250 8081
ENTRYPOINT ["/tunnelguard"]
