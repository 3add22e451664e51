"""One question to a running proxy, with the key of $GREENLANE_API_KEY."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_S = 60.0


def asked(url: str, path: str, parameters: Mapping[str, str | None], body: Any = None) -> Any:
    """The answer's JSON; or, having told why on standard error, the exit code: 1 the proxy refused, 2 it was not reached.

    With `body` it is sent by POST.
    """
    key = os.environ.get("GREENLANE_API_KEY")
    try:
        answer = httpx.request(
            "GET" if body is None else "POST",
            f"{url.rstrip('/').removesuffix('/v1')}{path}",
            params={name: value for name, value in parameters.items() if value is not None},
            json=body,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT_S,
        )
        found = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = "it did not answer in JSON" if isinstance(error, ValueError) else str(error) or type(error).__name__
        sys.stderr.write(f"greenlane: {url} cannot be asked: {reason}\n")
        return 2
    if not 200 <= answer.status_code < 300:
        told = found.get("error") if isinstance(found, dict) else None
        message = told.get("message") if isinstance(told, dict) else None
        sys.stderr.write(f"greenlane: {answer.status_code}: {message or 'refused'}\n")
        return 1
    return found
