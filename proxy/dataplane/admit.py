"""From the headers to a grant, before any of the body is read; and the ids an answer carries."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Mapping

import msgspec

from proxy.access import Grant, check_origin
from proxy.dataplane.call import Kinds
from proxy.dataplane.wishes import sent_in
from proxy.exchange import Exchange
from proxy.snapshot import Snapshot

_CLEAN = re.compile(rb"[\x21-\x7e]{1,128}")
_counter = itertools.count(1)
_PREFIX = f"gl-{int(time.time()):08x}{os.urandom(4).hex()}-"
"""Of this process: ids of two processes, or of one after a restart, never meet. They rise with time, so the ledger's rows are appended."""


class Admission(msgspec.Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """Who asks, and under which ids the exchange is known."""

    entry_id: str
    request_id: str
    """The client's, if it sent a clean one; else the entry's."""
    headers: Mapping[bytes, bytes]
    grant: Grant | None
    """None until the key was checked."""
    snapshot: Snapshot
    sent: Mapping[str, str] = {}
    """What its `x-greenlane-*` headers say; empty until the key was checked."""
    verbose: bool = False
    """It is told more, whether it asks or not: by the configuration, or by what its key may see."""
    kinds: Kinds | None = None
    """The kinds of request that came with this very head, where it is remembered: see `call.Alike`."""

    def __repr__(self) -> str:
        return f"<Admission {self.entry_id}>"


def next_entry_id() -> str:
    """A new entry's id: unique among all processes that write to one ledger."""
    return f"{_PREFIX}{next(_counter):08x}"


def greet(exchange: Exchange, snapshot: Snapshot) -> Admission:
    """Ids for an exchange, whoever it is from."""
    headers = exchange.fields
    entry_id = next_entry_id()
    sent = headers.get(b"x-request-id")
    clean = sent is not None and _CLEAN.fullmatch(sent) is not None
    request_id = sent.decode("ascii") if sent is not None and clean else entry_id
    return Admission(entry_id=entry_id, request_id=request_id, headers=headers, grant=None, snapshot=snapshot)


def admit(greeted: Admission) -> Admission:
    """The same with its grant. Raises Refusal 401 (no such key) or 403 (a foreign Host or Origin where there are no keys)."""
    headers, snapshot = greeted.headers, greeted.snapshot
    if snapshot.hosts is not None:
        check_origin(headers.get(b"host"), headers.get(b"origin"), snapshot.hosts, snapshot.config.server.cors.origins)
    grant = snapshot.keyring.admit(headers)
    return Admission(
        entry_id=greeted.entry_id,
        request_id=greeted.request_id,
        headers=headers,
        grant=grant,
        snapshot=snapshot,
        sent=sent_in(headers),
        verbose=snapshot.config.server.verbose or (grant.key is not None and grant.explain),
    )


def admit_again(before: Admission, headers: Mapping[bytes, bytes]) -> Admission:
    """What a request with the same head, sent under the same configuration, is let in as: the same but for its ids."""
    entry_id = next_entry_id()
    return Admission(
        entry_id=entry_id,
        request_id=entry_id,
        headers=headers,
        grant=before.grant,
        snapshot=before.snapshot,
        sent=before.sent,
        verbose=before.verbose,
        kinds=before.kinds,
    )
