# The three programs in one image; a pod runs handfast-controller and handfast-proxy as two
# containers of it. Build with: docker build -t handfast .
#
# BASE may be any Debian 12 or 13, of any architecture. VERSION and REVISION go into labels, and
# SOURCE_DATE_EPOCH into what would otherwise hold the time of the build.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
COPY dev ./
RUN ./dev install build
# What it is built of, and no more: a change of a test or a document builds nothing anew.
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY tests/bench tests/bench
COPY proxy proxy
COPY controller controller
COPY cmd cmd
RUN ./dev build release \
 && strip build/release/bin/handfast* \
 # The packages of the shared libraries that the programs load; their names differ by release.
 && ldd build/release/bin/handfast* | awk '$3 ~ /^\// {print $3}' | sort -u \
  | while read -r library; do dpkg-query -S "*/$(basename "$library")"; done \
  | cut -d: -f1 | sort -u > runtime-packages

# Built only when it is asked for; Docker before 23 needs DOCKER_BUILDKIT=1 for that.
FROM build AS test
COPY . .
RUN ./dev test

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE_DATE_EPOCH=0
LABEL org.opencontainers.image.title="Handfast" \
      org.opencontainers.image.description="Ingress controller that speaks mutual TLS to backends" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /src/runtime-packages /tmp/
COPY image/sbom.sh /tmp/
# ca-certificates: whom `wellKnownCACertificates: System` believes. What is deleted differs from one
# build to the next, or is of no use without a package manager at work.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates $(cat /tmp/runtime-packages) \
 && mkdir -p /usr/share/doc/handfast \
 && /tmp/sbom.sh "${VERSION}" "${SOURCE_DATE_EPOCH}" > /usr/share/doc/handfast/sbom.spdx.json \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old \
      /var/lib/dpkg/*-old /var/log/* /tmp/*
COPY --from=build /src/build/release/bin/ /usr/local/bin/
# One UID for both containers; no capability and no writable root file system is needed. Only the
# state directory is written: mount a tmpfs at /run/handfast.
USER 65532:65532
CMD ["handfast", "--help"]
