"""The certificates that a configuration names: that each file is there and is one, before anything is served with it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path as FilePath

from proxy.config import Config
from proxy.configuration.findings import Finding
from proxy.configuration.problems import Path

_MISMATCH = "KEY_VALUES_MISMATCH"


def check_certificates(config: Config) -> Iterator[Finding]:
    """Reads every file; nothing of one is kept or told."""
    server = config.server
    if server.tls_certificate_file is not None and server.tls_key_file is not None:
        yield from _pair(server.tls_certificate_file, server.tls_key_file)
    for name, deployment in config.deployments.items():
        if deployment.tls.ca_file is not None:
            yield from _bundle(("deployments", name, "tls", "ca_file"), deployment.tls.ca_file)


def _pair(certificate: str, key: str) -> Iterator[Finding]:
    unread = [*_unread(("server", "tls_certificate_file"), certificate), *_unread(("server", "tls_key_file"), key)]
    if unread:
        yield from unread
        return
    try:
        # without a password OpenSSL would ask the terminal for one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        why = "does not belong to the key" if getattr(error, "reason", None) == _MISMATCH else "and its key are not PEM without a password"
        yield Finding(("server", "tls_certificate_file"), f"{certificate} {why}")


def _bundle(path: Path, file: str) -> Iterator[Finding]:
    unread = list(_unread(path, file))
    if unread:
        yield from unread
        return
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError):
        yield Finding(path, f"{file} holds no certificate in PEM")


def _unread(path: Path, file: str) -> Iterator[Finding]:
    try:
        with FilePath(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        yield Finding(path, f"{file} cannot be read: {error.strerror}")
