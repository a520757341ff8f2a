# The scoring service alone: no compiler, no training libraries, no root.
# Pin the base by digest with --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:...
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

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 keepwell \
 && useradd --system --uid 10001 --gid keepwell --no-create-home --home-dir /srv/keepwell keepwell \
 && mkdir -p /srv/keepwell/models /var/cache/keepwell /var/lib/keepwell \
 && chown -R keepwell:keepwell /srv/keepwell /var/cache/keepwell /var/lib/keepwell
COPY --from=build /opt/keepwell /opt/keepwell
ENV PATH=/opt/keepwell/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/var/cache/keepwell \
    NUMBA_CPU_NAME=generic \
    KEEPWELL_MODELS_DIR=/srv/keepwell/models \
    KEEPWELL_STORE_URL=sqlite:////var/lib/keepwell/keepwell.db \
    KEEPWELL_JOBS_DIR=/var/lib/keepwell/jobs
WORKDIR /srv/keepwell
USER 10001:10001
# Kernels are compiled for any CPU at the first start and kept in /var/cache/keepwell: give it a
# volume, or fill it in an image made FROM this one (docs/performance.md); reading is then enough.
# Models: mount them on /srv/keepwell/models (read-only is enough), or copy them there in an image
# made FROM this one.
# The store and the files of jobs: give /var/lib/keepwell a volume; replicas name a PostgreSQL
# database (docs/store.md) and share a KEEPWELL_JOBS_DIR (docs/jobs.md).
EXPOSE 8000
# Live, not ready: a container without a model waits for one and must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('KEEPWELL_PORT', '8000')}/health/live\", timeout=2)"]
# Without keys the service refuses to listen beyond loopback: set KEEPWELL_ALLOW_ANONYMOUS=1 only
# where something in front of it keeps strangers out.
CMD ["keepwell", "serve", "--host", "0.0.0.0"]
