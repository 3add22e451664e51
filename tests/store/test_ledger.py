"""What goes into the ledger comes out of it, once, and only for its own team."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager

import msgspec
import pytest

from proxy.store.codec import encode
from proxy.store.engine import StoreUrlError
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.usage import UsageQuery
from tests.store.entries import ENTRY, parts, written


@asynccontextmanager
async def opened(url):
    ledger = await Ledger.open(url)
    try:
        yield ledger
    finally:
        await ledger.close()


def run(url, steps):
    async def session():
        async with opened(url) as ledger:
            return await steps(ledger)

    return asyncio.run(session())


def query(tmp_path, statement):
    connection = sqlite3.connect(tmp_path / "greenlane.db")
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def test_an_entry_is_read_back_whole(url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(entry()))
        return await ledger.get("gl-1", "search")

    assert run(url, steps) == entry()


def test_a_team_reads_its_own_entries_and_nobody_elses(url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(entry(), entry(id="gl-2", team=None)))
        return [await ledger.get(entry_id, team) for entry_id in ("gl-1", "gl-2", "gl-3") for team in ("search", "ads", None)]

    found = run(url, steps)
    assert [e and e.id for e in found] == ["gl-1", None, "gl-1", None, None, "gl-2", None, None, None]


def test_inserting_again_changes_nothing(url, entry, tmp_path):
    async def steps(ledger):
        await ledger.insert_records(written(entry(), entry(id="gl-2")))
        await ledger.insert_records(written(entry(status=500), entry(id="gl-3"), entry(id="gl-3", status=500)))
        await ledger.insert_records(written())

    run(url, steps)
    assert query(tmp_path, "SELECT id, status FROM ledger ORDER BY id") == [("gl-1", 200), ("gl-2", 200), ("gl-3", 200)]


def test_a_batch_larger_than_a_slice_goes_in_whole(url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(*(entry(id=f"gl-{i}") for i in range(1234))))
        return await ledger.usage(UsageQuery())

    assert run(url, steps)[0]["requests"] == 1234


@pytest.mark.parametrize("size", [1, 15, 16, 47, 300])
def test_what_is_absent_in_all_of_a_batch_or_in_some_is_absent_in_those_alone(url, entry, tmp_path, size):
    """Columns that are NULL in every row of a statement are written into it."""
    absent = {"team": None, "key": None, "task": None, "cost_usd": None, "ttft_s": None, "upstream_id": None}
    kinds = [{}, absent, {"task": None}, {"upstream_id": None, "cost_usd": None}]

    async def steps(ledger):
        for kind, changes in enumerate(kinds):
            await ledger.insert_records(written(*(entry(id=f"{kind}-{at}", status=at % 7, **changes) for at in range(size))))
        mixed = [entry(id=f"mixed-{at}", status=at % 7, **kinds[at % 4]) for at in range(size)]
        await ledger.insert_records(written(*mixed))

    run(url, steps)
    columns = ", ".join(("status", *absent))
    there = (entry().team, entry().key, entry().task, entry().cost_usd, entry().ttft_s, entry().upstream_id)
    for at in range(size):
        expected = {
            kind: (at % 7, *(None if name in changes else value for name, value in zip(absent, there, strict=True)))
            for kind, changes in enumerate(kinds)
        }
        for kind, values in expected.items():
            assert query(tmp_path, f"SELECT {columns} FROM ledger WHERE id = '{kind}-{at}'") == [values]
        assert query(tmp_path, f"SELECT {columns} FROM ledger WHERE id = 'mixed-{at}'") == [expected[at % 4]]


def test_recent_gives_the_newest_first(url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(*(entry(id=f"gl-{i}", at_s=float(i), team="ads" if i % 2 else "search") for i in range(6))))
        return await ledger.recent(2), await ledger.recent(2, "search"), await ledger.recent(9, "nobody")

    assert [[e.id for e in found] for found in run(url, steps)] == [["gl-5", "gl-4"], ["gl-4", "gl-2"], []]


def test_a_stored_response_finds_its_deployment_for_its_own_team(url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(entry(response_id="resp_1"), entry(id="gl-2", response_id=None)))
        return [
            await ledger.deployment_of_response(*asked)
            for asked in (("resp_1", "search"), ("resp_1", "ads"), ("resp_1", None), ("x", None))
        ]

    assert run(url, steps) == ["vllm-eu", None, "vllm-eu", None]


def test_what_cannot_be_a_row_is_set_aside_and_holds_nobody_up(url, entry, tmp_path):
    """An integer beyond 64 bits, a time that is no time, a list for a text, and bytes of no record, among good ones; and once more."""
    huge, never, odd = (written(entry(id=f"gl-{name}", **{name: value}))[1] for name, value in WRONG)
    records = written(*(entry(id=f"gl-{i}") for i in range(5)))
    records[2:2] = [huge, b"rubbish", never]
    records.append(odd)

    async def steps(ledger):
        await ledger.insert_records(records)
        await ledger.insert_records(records)

    run(url, steps)
    assert query(tmp_path, "SELECT id FROM ledger ORDER BY id") == [(f"gl-{i}",) for i in range(5)]
    assert sorted(query(tmp_path, "SELECT kind, record FROM ledger_quarantine")) == sorted(
        [("OverflowError", huge), ("UndecodableError", b"rubbish"), ("SQLITE_CONSTRAINT_NOTNULL", never), ("UndecodableError", odd)]
    )


WRONG = (("status", 2**63), ("at_s", float("nan")), ("team", ["search"]))


def test_entries_of_one_kind_share_one_context(url, entry, tmp_path):
    async def steps(ledger):
        await ledger.insert_records(written(*(entry(id=f"gl-{i}") for i in range(3)), entry(id="gl-3", policy="private")))

    run(url, steps)
    assert query(tmp_path, "SELECT policy FROM ledger_contexts ORDER BY policy") == [("green",), ("private",)]
    assert query(tmp_path, "SELECT policy, count(*) FROM exchanges GROUP BY policy") == [("green", 3), ("private", 1)]


def test_a_row_whose_context_is_missing_is_kept_and_counted(url, entry):
    async def steps(ledger):
        await ledger.insert_records([encode(parts(entry())[1])])
        return await ledger.get("gl-1", "search"), await ledger.usage(UsageQuery(group_by="model"))

    found, [group] = run(url, steps)
    assert (found.carbon.carbon_g, found.model) == (0.03, None)
    assert (group["model"], group["requests"], group["carbon_g"]) == (None, 1, 0.03)


def test_the_account_can_be_made_again_from_the_store_in_plain_sql(url, entry, tmp_path):
    """Energy times the grid's figure, both as they were taken: 3,600 J at 30 g/kWh are 0.03 g."""

    async def steps(ledger):
        await ledger.insert_records(written(entry()))

    run(url, steps)
    asked = """
        SELECT energy_j * json_extract(inputs, '$.intensity.g_per_kwh') / 3.6e6, json_extract(inputs, '$.profile.active_parameters'),
               json_extract(inputs, '$.order[0]'), json_extract(inputs, '$.rejected[0][1]'),
               json_extract(detail, '$.attempts[0].kind'), json_extract(detail, '$.forecast.energy_j'), method, zone, data_version, day
        FROM exchanges
    """
    [row] = query(tmp_path, asked)
    assert row == (pytest.approx(0.03), 32e9, "vllm-us", "privacy", "connect", 3000.0, "flops", "SE", "d1", 19675)


def test_a_value_the_database_cannot_hold_is_in_no_row(url):
    async def steps(ledger):
        return await ledger.recent(2**63), await ledger.get("\ud800", None)

    assert run(url, steps) == ([], None)


def test_a_locked_store_says_so_and_takes_the_batch_later(url, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.store.engine.BUSY_TIMEOUT_S", 0.05)

    async def steps(ledger):
        holder = sqlite3.connect(tmp_path / "greenlane.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="SQLITE_BUSY") as caught:
            await ledger.insert_records(written(entry()))
        readable = await ledger.recent(1)
        holder.execute("COMMIT")
        holder.close()
        await ledger.insert_records(written(entry()))
        return caught.value.kind, readable, await ledger.get("gl-1", None)

    assert run(url, steps) == ("SQLITE_BUSY", [], entry())


def test_the_event_loop_goes_on_while_the_store_waits_for_its_lock(url, entry, tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.store.engine.BUSY_TIMEOUT_S", 10.0)

    async def steps(ledger):
        await ledger.insert_records(written(entry()))
        holder = sqlite3.connect(tmp_path / "greenlane.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        insertion = asyncio.ensure_future(ledger.insert_records(written(entry(id="gl-2"))))
        for _ in range(20):
            await asyncio.sleep(0.001)
        waiting = not insertion.done()
        holder.execute("COMMIT")
        holder.close()
        await insertion
        return waiting, (await ledger.get("gl-2", None)).id

    assert run(url, steps) == (True, "gl-2")


def test_a_store_that_is_not_there_says_so(tmp_path):
    with pytest.raises(StoreUnavailableError, match="SQLITE_CANTOPEN"):
        asyncio.run(Ledger.open(f"sqlite:///{tmp_path}/none/greenlane.db"))


def test_a_url_that_is_none_of_ours_is_refused():
    with pytest.raises(StoreUrlError):
        asyncio.run(Ledger.open("mysql://h/db"))


def test_a_ledger_for_later_speaks_to_its_store_at_the_first_use(tmp_path, entry):
    """As when the proxy starts before its database does."""
    folder = tmp_path / "mounted-later"

    async def session():
        ledger = Ledger.later(f"sqlite:///{folder}/greenlane.db")
        with pytest.raises(StoreUnavailableError):
            await ledger.insert_records(written(entry()))
        folder.mkdir()
        await ledger.insert_records(written(entry()))
        found = await ledger.get("gl-1", None)
        await ledger.close()
        return found

    assert asyncio.run(session()) == entry()


def test_a_row_that_an_earlier_version_left_in_the_spool_becomes_an_entry(url):
    """Before rows had what was avoided they were four values shorter."""
    context, row = written(ENTRY)
    values = msgspec.msgpack.decode(row)
    assert values[-4:] == [None] * 4
    earlier = b"\xdc\x00\x1f" + b"".join(map(msgspec.msgpack.encode, values[:-4]))

    async def steps(ledger):
        await ledger.insert_records([context, earlier])
        return await ledger.get(ENTRY.id, None)

    assert run(url, steps) == ENTRY
