# Two stages: the first installs the hash-locked run-time packages, the second holds them, the service and the models.
# The base is pinned by tag; pin it by the digest that your registry shows (python:3.11-slim-bookworm@sha256:...) where
# builds must repeat to the bit.

FROM python:3.11-slim-bookworm AS builder
COPY requirements/runtime.txt /tmp/runtime.txt
RUN python -m venv /opt/shoal \
 && /opt/shoal/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/runtime.txt \
 && /opt/shoal/bin/python -m pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 shoal \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin shoal
COPY --from=builder /opt/shoal /opt/shoal
WORKDIR /app
COPY LICENSE ./
COPY service service
COPY models/artifacts models/artifacts
ENV PATH=/opt/shoal/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SHOAL_HOST=0.0.0.0 \
    SHOAL_PORT=8000
# Compiled here: whoever runs it may not write here, and would compile at every start.
RUN python -m compileall -q service

USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"SHOAL_PORT\"]}/health', timeout=2)"]
# One process: a second would load the models again and cut every batch in two. SIGTERM goes straight to it.
CMD ["python", "-m", "service"]
