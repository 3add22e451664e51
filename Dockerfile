# Two stages from one base: the first builds the environment with pip, the second holds nothing but the environment.
# Any Debian bookworm with Python 3.11 and venv will do as the base: docker build --build-arg BASE_IMAGE=... .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/greenlane
WORKDIR /build
# the dependencies are a layer of their own: it changes only when the lock does
COPY requirements.lock ./
RUN /opt/greenlane/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY adapters adapters
COPY carbon carbon
COPY policies policies
COPY proxy proxy
# installers are of no use in the finished image
RUN /opt/greenlane/bin/python -m pip install --quiet --no-deps --no-build-isolation . \
    && /opt/greenlane/bin/python -m pip uninstall --quiet --yes setuptools pip

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Greenlane" \
      org.opencontainers.image.description="An OpenAI-compatible inference proxy that routes by policy and puts energy and carbon on every response" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /var/lib/greenlane --shell /usr/sbin/nologin greenlane \
    && install --directory --owner greenlane --group greenlane /var/lib/greenlane
COPY --from=build /opt/greenlane /opt/greenlane
COPY LICENSE NOTICE /usr/share/doc/greenlane/
# without a file mounted over it the image serves simulations only
COPY deploy/image.yaml /etc/greenlane/greenlane.yaml
ENV PATH=/opt/greenlane/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# ledger and spool are written to the working directory
WORKDIR /var/lib/greenlane
VOLUME ["/var/lib/greenlane"]
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080/health/live', timeout=2)"]
CMD ["greenlane", "serve", "--config", "/etc/greenlane/greenlane.yaml", "--host", "0.0.0.0"]
