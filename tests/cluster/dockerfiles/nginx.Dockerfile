# What the chart takes from a registry elsewhere, made from the base that is here. Only for tests.
FROM debian:bookworm-slim
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/*
USER 65532:65532
ENTRYPOINT ["nginx"]
