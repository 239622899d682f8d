# Three images from one file: `docker build --target operator|api|worker .`
#
# Dependencies come from requirements/*.txt with their hashes; our own code is the last layer, so that a change of it
# costs kilobytes. Nothing here says where packages come from: mount a pip.conf or a CA bundle while building if you need one.
# Byte code is compiled while building: a read-only root could not keep it, and every start would compile anew.
# Images run as user 65532 with a read-only root; /tmp is the only place that they write to.

# --- Python, and a virtual environment -------------------------------------------------------------------------------------
FROM docker.io/library/debian:bookworm-slim AS python
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -q \
 && apt-get install -yq --no-install-recommends ca-certificates python3.11 python3-pip-whl \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log \
 && find /usr/lib/python3.11 -name __pycache__ -prune -exec rm -rf {} + \
 && python3.11 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.11 \
 && echo 'modelpool:x:65532:65532:modelpool:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'modelpool:x:65532:' >> /etc/group \
 && python3.11 -m venv --without-pip /opt/modelpool
# pip is a wheel that runs unpacked; each image purges it in the step that has used it.
ENV PATH=/opt/modelpool/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
COPY LICENSE /licenses/modelpool/
STOPSIGNAL SIGTERM

# --- our code, compiled; core is in all three ---------------------------------------------------------------------------------
FROM python AS operator-code
COPY core operator /code/
RUN python -m compileall -q --invalidation-mode unchecked-hash -s /code -p /opt/modelpool/lib/python3.11/site-packages /code

FROM python AS api-code
COPY core api /code/
RUN python -m compileall -q --invalidation-mode unchecked-hash -s /code -p /opt/modelpool/lib/python3.11/site-packages /code

FROM python AS worker-code
COPY core worker /code/
RUN python -m compileall -q --invalidation-mode unchecked-hash -s /code -p /opt/modelpool/lib/python3.11/site-packages /code

# --- the images -----------------------------------------------------------------------------------------------------------------
FROM python AS operator
COPY requirements/operator.txt /opt/modelpool/requirements.txt
# Manifests are plain data to us: of the Kubernetes client's models and calls only those stay that importing it loads. The rest is 70 MB.
RUN PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --quiet --no-input --no-cache-dir --no-compile \
        --disable-pip-version-check --root-user-action=ignore --only-binary :all: --require-hashes -r /opt/modelpool/requirements.txt \
 && dpkg --purge python3-pip-whl \
 && python -c 'import pathlib, sys, kubernetes.aio.config; \
        loaded = {getattr(module, "__file__", None) for module in sys.modules.values()}; \
        files = pathlib.Path(kubernetes.__path__[0]).rglob("client/*/*.py"); \
        [file.unlink() for file in files if str(file) not in loaded]' \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/modelpool/lib
ENV MODELPOOL_LISTEN_HOST=0.0.0.0 MODELPOOL_LISTEN_PORT=8081
EXPOSE 8081
USER 65532:65532
ENTRYPOINT ["/opt/modelpool/bin/python", "-m", "modelpool_operator"]
CMD ["kubernetes"]
ARG VERSION=unversioned
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="modelpool operator" \
      org.opencontainers.image.description="Decides which model sits on which GPU of a ModelPool" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
COPY --from=operator-code /code /opt/modelpool/lib/python3.11/site-packages

FROM python AS api
COPY requirements/api.txt /opt/modelpool/requirements.txt
RUN PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --quiet --no-input --no-cache-dir --no-compile \
        --disable-pip-version-check --root-user-action=ignore --only-binary :all: --require-hashes -r /opt/modelpool/requirements.txt \
 && dpkg --purge python3-pip-whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/modelpool/lib
ENV MODELPOOL_LISTEN_HOST=0.0.0.0 MODELPOOL_LISTEN_PORT=8080
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/opt/modelpool/bin/python", "-m", "modelpool_api"]
ARG VERSION=unversioned
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="modelpool API" \
      org.opencontainers.image.description="The HTTP front end of ModelPools: jobs, results, models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
COPY --from=api-code /code /opt/modelpool/lib/python3.11/site-packages

FROM python AS worker
COPY requirements/worker.txt /opt/modelpool/requirements.txt
# One file of torch is for newer Pythons only (py312_): it does not compile here, and nothing imports it.
RUN PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install --quiet --no-input --no-cache-dir --no-compile \
        --disable-pip-version-check --root-user-action=ignore --only-binary :all: --require-hashes -r /opt/modelpool/requirements.txt \
 && dpkg --purge python3-pip-whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x py312_ /opt/modelpool/lib
# Which devices a worker sees is the device plugin's or the runtime's business: only the driver's parts are named here.
ENV MODELPOOL_LISTEN_HOST=0.0.0.0 \
    MODELPOOL_LISTEN_PORT=8082 \
    MODELPOOL_MODELS_DIR=/models \
    HF_HUB_OFFLINE=1 \
    DIFFUSERS_DISABLE_REMOTE_CODE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8082
USER 65532:65532
ENTRYPOINT ["/opt/modelpool/bin/python", "-m", "modelpool_worker"]
ARG VERSION=unversioned
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="modelpool worker" \
      org.opencontainers.image.description="Holds the models of one GPU and generates what is queued for them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
COPY --from=worker-code /code /opt/modelpool/lib/python3.11/site-packages
