"""What a client is told when something is wrong: one exception for requests that are not let in.

- `Refusal`: the request is answered with an error of ours, before or instead of an upstream. Whose fault: mostly the client's.
- `proxy.upstream._base.UpstreamError`, `adapters._base.FaultError`, `GarbledError`: the upstream's fault, inside an attempt.
- `adapters._base.AdapterError`: the request cannot be expressed in the upstream's dialect.
"""

from __future__ import annotations

import re

from policies._base import Decision

PLAIN_NAME = re.compile(r"[\w.:/@+-]{1,100}", re.ASCII)
"""What of a caller's own words an error may repeat."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A request that is not let in: HTTP status, error code and a message for the client."""

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        headers: bytes = b"",
        param: str | None = None,
        detail: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.param, self.detail = headers, param, detail
        self.policy: str | None = None
        self.decision: Decision | None = None
        """Of a request that a policy refused: what it rejected."""


def no_such_model(name: str) -> Refusal:
    """The same for a model that is not there and for one that the key may not see. Names the model: agents ask for several."""
    named = f" `{name}`" if PLAIN_NAME.fullmatch(name) else ""
    return Refusal(404, "model_not_found", f"The model{named} does not exist here, or this key may not use it.", param="model")
