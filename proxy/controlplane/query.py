"""The query of a URL, of which nothing is passed over: a member that is misspelt or given twice would ask for something else."""

from __future__ import annotations

from typing import Any

from litestar import Request

from proxy.configuration.problems import nearest
from proxy.errors import PLAIN_NAME, Refusal


def query_of(request: Request[Any, Any, Any], *known: str) -> dict[str, str]:
    """The members by name. Raises Refusal 400 for one that is not `known`, and for one that is given twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise _unknown(name, known)
        if name in found:
            raise Refusal(400, None, f"`{name}` may be given once.", param=name)
        found[name] = value
    return found


def _unknown(name: str, known: tuple[str, ...]) -> Refusal:
    if not PLAIN_NAME.fullmatch(name):
        return Refusal(400, "unknown_parameter", f"A member of the query is not known here{_listed(known)}")
    meant = nearest(name, known)
    told = f" (did you mean `{meant}`?)." if meant else _listed(known)
    return Refusal(400, "unknown_parameter", f"`{name}` is not known here{told}", param=name)


def _listed(known: tuple[str, ...]) -> str:
    *names, last = (f"`{each}`" for each in known)
    return f"; there are {', '.join(names)} and {last}."
