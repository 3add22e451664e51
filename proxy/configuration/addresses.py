"""What may stand in a deployment's URLs and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from proxy.config import Deployment
from proxy.configuration.findings import Finding
from proxy.configuration.problems import Path
from proxy.configuration.simulated import pace_of

_SCHEMES = ("http", "https", "sim")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "trailer", "content-type", "expect"})
_CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "cookie"})
_VENDOR_HOSTS = ("openai.com", "openai.azure.com", "anthropic.com", "googleapis.com", "mistral.ai", "groq.com", "openrouter.ai")


def check(path: Path, deployment: Deployment) -> Iterator[Finding]:
    """What is wrong with where a deployment is and what is sent along."""
    where: Path = (*path, "base_url")
    parts = _split(deployment.base_url)
    if parts is None:
        yield Finding(where, "is not a URL (http://HOST:PORT/PATH)")
    elif parts.scheme not in _SCHEMES or not parts.hostname:
        yield Finding(where, "must begin with http:// or https:// (or sim:// for a simulation) and name a host")
    else:
        yield from _location(where, parts)
        yield from _plausible(path, deployment, parts)
    if deployment.forward_proxy is not None:
        yield from _proxy((*path, "forward_proxy"), deployment.forward_proxy)
    if deployment.cache_salt is not None and deployment.dialect != "openai":
        yield Finding((*path, "cache_salt"), "is vLLM's, which speaks openai")
    for name, value in deployment.headers.items():
        yield from _header((*path, "headers", name), name, value)


def _split(url: str) -> SplitResult | None:
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number or beyond 65535
    except ValueError:
        return None
    return parts


def _location(where: Path, parts: SplitResult) -> Iterator[Finding]:
    if "@" in parts.netloc:
        yield Finding(where, "must not carry credentials: write api_key: env:NAME")
    if parts.scheme != "sim" and (parts.query or parts.fragment):
        yield Finding(where, "must not carry a query or a fragment (Azure's version goes into api_version)")
    for ending in ("/chat/completions", "/completions", "/messages", "/responses", "/embeddings"):
        if parts.path.rstrip("/").endswith(ending):
            yield Finding(where, f"is the address of one operation: leave {ending} out")
            break


def _plausible(path: Path, deployment: Deployment, parts: SplitResult) -> Iterator[Finding]:
    host = parts.hostname or ""
    if parts.scheme == "sim":
        try:
            pace_of(deployment.base_url)
        except ValueError as error:
            yield Finding((*path, "base_url"), str(error))
    if parts.scheme == "sim" and deployment.dialect != "openai":
        yield Finding((*path, "dialect"), "a simulation (sim://) speaks openai only", "openai")
    if deployment.privacy == "local" and any(host == vendor or host.endswith("." + vendor) for vendor in _VENDOR_HOSTS):
        yield Finding((*path, "privacy"), f"local means a machine you operate, and {host} is a vendor's", warning=True)
    if parts.scheme == "http" and deployment.api_key is not None and _public(host):
        yield Finding((*path, "base_url"), "the key travels over this connection in the clear: use https", warning=True)


def _public(host: str) -> bool:
    """Whether this looks like a name or an address of the open network."""
    private = re.match(r"127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[", host)
    return "." in host and not private and not host.endswith((".internal", ".local", ".svc", ".lan", ".cluster.local"))


def _proxy(where: Path, url: str) -> Iterator[Finding]:
    parts = _split(url)
    if parts is None or parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
        yield Finding(where, f"is written {', '.join(scheme + '://' for scheme in _PROXY_SCHEMES)} and HOST:PORT")
    elif "@" in parts.netloc:
        yield Finding(where, "must not carry credentials: no secret stands in the file")


def _header(where: Path, name: str, value: str) -> Iterator[Finding]:
    if not _HEADER_NAME.fullmatch(name):
        yield Finding(where, "is not the name of a header")
    elif name.lower() in _FRAMING:
        yield Finding(where, "is set by the proxy itself")
    elif name.lower() in _CREDENTIALS:
        yield Finding(where, "carries a secret: write api_key: env:NAME instead")
    elif not _HEADER_VALUE.fullmatch(value):
        yield Finding(where, "must be one line of printable ASCII, without spaces around it")


def check_ledger(url: str) -> Iterator[Finding]:
    """What is wrong with the ledger's URL, unless it is a reference. Never tells any of it: there may be a password in it."""
    if url.startswith(("env:", "file:")):
        return
    where = ("ledger", "url")
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        yield Finding(where, "is written sqlite:///FILE or postgresql://USER@HOST/NAME")
        return
    if parts.scheme.partition("+")[0] not in {"sqlite", "postgresql", "postgres"}:
        yield Finding(where, "is written sqlite:///FILE or postgresql://USER@HOST/NAME")
    elif password:
        yield Finding(where, "has a password in it: write env:NAME or file:PATH, and the URL there", warning=True)
