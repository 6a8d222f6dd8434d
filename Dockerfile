# The three programs in one image; a pod runs handfast-controller and handfast-proxy as two
# containers of it. Build with: docker build -t handfast .
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
COPY dev ./
RUN ./dev install build
COPY . .
RUN ./dev build release \
 && strip build/release/bin/handfast* \
 # The packages of the shared libraries that the programs load; their names differ by release.
 && ldd build/release/bin/handfast* | awk '$3 ~ /^\// {print $3}' | sort -u \
  | while read -r library; do dpkg-query -S "*/$(basename "$library")"; done \
  | cut -d: -f1 | sort -u > runtime-packages

FROM build AS test
RUN ./dev test

FROM ${BASE} AS runtime
COPY --from=build /src/runtime-packages /tmp/
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(cat /tmp/runtime-packages) \
 && rm -rf /var/lib/apt/lists/* /tmp/runtime-packages
COPY --from=build /src/build/release/bin/ /usr/local/bin/
# One UID for both containers; no capability and no writable root file system is needed. Only the
# state directory is written: mount a tmpfs at /run/handfast.
USER 65532:65532
CMD ["handfast", "--help"]
