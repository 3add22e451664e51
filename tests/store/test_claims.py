"""Every process has a file of its own, and the files of the dead find an heir."""

from __future__ import annotations

import logging

import pytest

from proxy.store.claims import MOST_PROCESSES, adopt, claim
from proxy.store.spool import Spool
from proxy.store.spool_file import SpoolUnusableError

SMALL = 65536


@pytest.fixture(name="path")
def spool_path(tmp_path):
    return tmp_path / "greenlane.spool"


def test_each_claim_gets_the_first_file_nobody_has(path):
    first, second, third = (claim(path, SMALL) for _ in range(3))
    assert [spool.path.name for spool in (first, second, third)] == ["greenlane.spool", "greenlane.spool.1", "greenlane.spool.2"]
    second.append(b"left behind")
    second.close()
    heir = claim(path, SMALL)
    assert (heir.path.name, heir.read(5)) == ("greenlane.spool.1", [b"left behind"])
    for spool in (first, third, heir):
        spool.close()


def test_claims_end_somewhere(path, monkeypatch):
    monkeypatch.setattr("proxy.store.claims.MOST_PROCESSES", 2)
    taken = [claim(path, SMALL), claim(path, SMALL)]
    with pytest.raises(SpoolUnusableError, match="all 2 files are in use"):
        claim(path, SMALL)
    for spool in taken:
        spool.close()
    assert MOST_PROCESSES == 256


def test_a_damaged_file_costs_nobody_the_start_but_is_never_taken_for_ours_at_the_configured_name(path, caplog):
    damaged = path.with_name("greenlane.spool.1")
    damaged.write_bytes(b"damage" * 999)
    with caplog.at_level(logging.WARNING):
        spools = [claim(path, SMALL), claim(path, SMALL)]
    assert [spool.path.name for spool in spools] == ["greenlane.spool", "greenlane.spool.2"]
    assert "greenlane.spool.1: not a spool file" in caplog.text
    assert damaged.read_bytes() == b"damage" * 999
    for spool in spools:
        spool.close()
    path.write_bytes(b"somebody else's")
    with pytest.raises(SpoolUnusableError, match="not a spool file"):
        claim(path, SMALL)


def test_abandoned_files_are_adopted_and_live_ones_are_not(path):
    spools = [claim(path, SMALL) for _ in range(4)]
    for number, spool in enumerate(spools):
        spool.append(b"%d" % number)
    spools[1].close()
    spools[3].close()
    adopted = list(adopt(path))
    assert [(spool.path.name, spool.read(5)) for spool in adopted] == [("greenlane.spool.1", [b"1"]), ("greenlane.spool.3", [b"3"])]
    assert list(adopt(path)) == []
    for spool in (*adopted, spools[0], spools[2]):
        spool.close()


def test_an_adopted_file_is_removed_only_when_empty(path):
    spool = claim(path, SMALL)
    spool.append(b"a")
    with pytest.raises(ValueError, match="still holds 1 records"):
        spool.remove()
    spool.read(1)
    spool.release(1)
    spool.remove()
    assert not path.exists()


def test_files_that_merely_resemble_are_not_touched(path, caplog):
    path.with_name("greenlane.spool.7").write_bytes(b"a letter to my aunt")
    path.with_name("greenlane.spool.bak").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert list(adopt(path)) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "greenlane.spool.7: not a spool file" in caplog.text
    assert path.with_name("greenlane.spool.7").read_bytes() == b"a letter to my aunt"


def test_a_file_removed_between_open_and_lock_is_not_used(path, monkeypatch):
    """Its heir deletes it just then: whoever waited must make a new one, not write into a file without a name."""
    old = claim(path, SMALL)
    opened = []

    def lock_after_removal(descriptor, locked_path):
        if not opened:
            old.remove()
        opened.append(locked_path)

    monkeypatch.setattr("proxy.store.spool_file._lock", lock_after_removal)
    spool = Spool.open(path, SMALL)
    spool.append(b"kept")
    spool.close()
    assert len(opened) == 2
    again = Spool.open(path, SMALL)
    assert again.read(1) == [b"kept"]
    again.close()
