# The scoring service alone: no compiler of C, no training libraries, no installer, no root.
#   docker build -t keepwell .
#   docker build --target sbom --output type=local,dest=. .     # keepwell.cdx.json (CycloneDX)
# Pin the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies first: their layer stays while only the sources change.
COPY requirements/build.txt requirements/service.txt requirements/
RUN python -m pip install --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /opt/keepwell \
 && python -m pip --python /opt/keepwell/bin/python install --require-hashes \
      --only-binary :all: -r requirements/service.txt
COPY pyproject.toml README.md LICENSE ./
COPY churn churn
COPY service service
COPY training training
COPY cli cli
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/keepwell/bin/python install --no-deps --no-index dist/*.whl
# Kernels, compiled once for any CPU: the first start takes seconds, and nothing needs to be written.
# Those of what is installed (-P), not of the sources here: they are looked up by their place.
RUN NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR=/opt/keepwell/kernels \
      /opt/keepwell/bin/python -P -m service.warm_up

FROM build AS inventory
COPY requirements/audit.txt requirements/
RUN python -m venv /opt/audit \
 && /opt/audit/bin/python -m pip install --require-hashes -r requirements/audit.txt \
 && /opt/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
      --output-reproducible --output-file /keepwell.cdx.json /opt/keepwell/bin/python

FROM scratch AS sbom
COPY --from=inventory /keepwell.cdx.json /

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Keepwell" \
      org.opencontainers.image.description="Churn prediction: probability, reasons and an action for each customer" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 keepwell \
 && useradd --uid 10001 --gid keepwell --no-log-init --no-create-home --home-dir /srv/keepwell \
      --shell /usr/sbin/nologin keepwell \
 && install --directory --owner=keepwell --group=keepwell /srv/keepwell/models /var/lib/keepwell \
 && python -m pip uninstall --yes setuptools wheel pip
COPY --from=build /opt/keepwell /opt/keepwell
ENV PATH=/opt/keepwell/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/opt/keepwell/kernels \
    NUMBA_CPU_NAME=generic \
    KEEPWELL_MODELS_DIR=/srv/keepwell/models \
    KEEPWELL_STORE_URL=sqlite:////var/lib/keepwell/keepwell.db \
    KEEPWELL_JOBS_DIR=/var/lib/keepwell/jobs
WORKDIR /srv/keepwell
USER 10001:10001
# The root may be read-only (docker run --read-only): only /var/lib/keepwell is written.
# Models: mount them on /srv/keepwell/models (read-only is enough), or copy them there in an image
# made FROM this one.
# The store and the files of jobs: give /var/lib/keepwell a volume; replicas name a PostgreSQL
# database (docs/store.md) and share a KEEPWELL_JOBS_DIR (docs/jobs.md).
EXPOSE 8000
STOPSIGNAL SIGTERM
# Live, not ready: a container without a model waits for one and must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('KEEPWELL_PORT', '8000')}/health/live\", timeout=2)"]
# Without a KEEPWELL_KEYS_FILE (docs/keys.md) the service refuses to listen beyond loopback: set
# KEEPWELL_ALLOW_ANONYMOUS=1 only where something in front of it keeps strangers out.
CMD ["keepwell", "serve", "--host", "0.0.0.0"]
