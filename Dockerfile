# The one binary, built where it runs the same: bookworm below, bookworm above.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p revocast

FROM debian:bookworm-slim
# The system's authorities, for repositories and brokers with public TLS certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/revocast --shell /usr/sbin/nologin revocast \
    && mkdir -p /var/lib/revocast /etc/revocast/anchors \
    && chown revocast:revocast /var/lib/revocast /etc/revocast/anchors
COPY --from=build /src/target/release/revocast /usr/local/bin/revocast
COPY ops/*.toml /etc/revocast/
# Volumes take this owner over when they are made.
USER revocast
WORKDIR /var/lib/revocast
ENTRYPOINT ["revocast"]
