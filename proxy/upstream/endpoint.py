"""Where an upstream is: the parts of a deployment's `base_url`, checked once and never again."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

DEFAULT_PORTS = {"http": 80, "https": 443}


class Endpoint(msgspec.Struct, frozen=True):
    scheme: str
    """`http` or `https`."""
    host: str
    """Name in ASCII (punycode) or an address; IPv6 without brackets."""
    port: int
    base_path: str = ""
    """Begins with a slash and does not end with one, or is empty."""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> bytes:
        """As in the host header: brackets around IPv6, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}").encode("ascii")

    @property
    def tunnel(self) -> bytes:
        """As after CONNECT: the port always."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("ascii")


def parse_endpoint(url: str) -> Endpoint:
    """The endpoint of a `base_url`. Raises ValueError saying what is wrong, without quoting credentials."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"expected a URL with http:// or https://, found the scheme {parts.scheme!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a URL without user name and password; credentials belong in api_key or headers")
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without query and fragment")
    if not parts.hostname:
        raise ValueError("expected a URL with a host")
    if any(not "!" <= character <= "~" for character in parts.path):
        raise ValueError("expected a path of visible ASCII characters; escape the others as %XX")
    port = parts.port
    if port == 0:
        raise ValueError("expected a port from 1 to 65535")
    return Endpoint(
        scheme=parts.scheme,
        host=ascii_host(parts.hostname),
        port=DEFAULT_PORTS[parts.scheme] if port is None else port,
        base_path=parts.path.rstrip("/"),
    )


def ascii_host(host: str) -> str:
    """The host as it goes on the wire. Raises ValueError for one that cannot be a host."""
    try:
        name = host.encode("ascii" if ":" in host else "idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError("expected a host of letters, digits, dots and hyphens") from error
    if not all(character.isalnum() or character in "-._:" for character in name):
        raise ValueError("expected a host of letters, digits, dots and hyphens")
    return name
