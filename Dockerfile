# dialplane in one image: the control process (Python) and the media worker (Rust).
#   docker build -t dialplane .
#   docker run --network host -v ./dialplane.toml:/etc/dialplane/dialplane.toml:ro -v dialplane-state:/var/lib/dialplane dialplane

ARG PYTHON=3.13
ARG RUST=1.91

FROM rust:${RUST}-slim-bookworm AS worker
WORKDIR /build
# libopus is built from the source that its crate brings along. A stable Debian has one cmake: nothing to pin.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake make && rm -rf /var/lib/apt/lists/*
COPY media/worker/ ./
RUN cargo build --release --locked --bin dialplane-media

FROM python:${PYTHON}-slim-bookworm AS wheels
WORKDIR /build
COPY .ci/build.lock ./.ci/build.lock
RUN pip install --no-cache-dir --no-deps --require-hashes -r .ci/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY config/ ./config/
COPY sip/ ./sip/
COPY media/ ./media/
COPY rcml/ ./rcml/
COPY server/ ./server/
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm AS runtime
# Nothing is imported from the directory in which a command happens to run; deployment configuration lives in /etc/dialplane.
ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DIALPLANE_CONFIG=/etc/dialplane/dialplane.toml \
    DIALPLANE_STATE=/var/lib/dialplane
COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.lock && rm /tmp/requirements.lock
COPY --from=wheels /wheels/ /tmp/wheels/
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl \
    && rm -r /tmp/wheels \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/dialplane --shell /usr/sbin/nologin dialplane \
    && install -d -o dialplane -g dialplane -m 0750 /var/lib/dialplane \
    && install -d -m 0755 /etc/dialplane
COPY --from=worker /build/target/release/dialplane-media /usr/local/bin/dialplane-media
COPY .ci/container.toml /etc/dialplane/dialplane.toml
RUN python -m compileall -q -j 0 "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

USER 10001:10001
WORKDIR /var/lib/dialplane
VOLUME /var/lib/dialplane
EXPOSE 5060/udp 5060/tcp 8080/tcp 20000-29999/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["dialplane"]
CMD ["run"]
