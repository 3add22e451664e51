"""What holds for the store holds on PostgreSQL: the tests of `tests/store`, and what only this database can do otherwise."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from proxy.store.codec import encode
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.migration import HEAD, StoreVersionError, downgrade, migrate, migrate_in_thread
from proxy.store.postgresql import postgresql_engine
from proxy.store.tables import metadata
from proxy.store.usage import UsageQuery
from tests.store.entries import parts, written
from tests.store.test_calibrations import (  # noqa: F401 - the same
    test_measured_are_those_restated_by_a_meter_with_the_figure_that_counts,
    test_of_a_busy_hour_a_bounded_number_is_read,
    test_of_many_that_come_at_once_one_comes_into_force,
    test_of_two_fitted_beside_each_other_the_first_comes_into_force,
    test_reports_that_end_at_different_places_are_never_mixed,
    test_the_latest_accepted_of_each_deployment_is_in_force,
    test_what_a_provider_reports_is_measured_too_and_never_mixed_with_our_meters,
)
from tests.store.test_estimates import (  # noqa: F401 - the same
    test_another_teams_is_not_there,
    test_they_are_listed_newest_first_also_those_of_one_instant,
    test_they_come_back_as_they_were,
)
from tests.store.test_intensities import (  # noqa: F401 - the same
    test_a_figure_read_twice_is_kept_once_and_as_it_was_first,
    test_the_newest_of_each_source_zone_and_signal_come_back_as_they_were,
    test_the_past_is_told_in_order_and_of_one_zone_only,
    test_what_is_past_its_time_is_forgotten,
)
from tests.store.test_ledger import (  # noqa: F401 - the same tests, with this folder's fixture `url`
    run,
    test_a_batch_larger_than_a_slice_goes_in_whole,
    test_a_row_whose_context_is_missing_is_kept_and_counted,
    test_a_stored_response_finds_its_deployment_for_its_own_team,
    test_a_team_reads_its_own_entries_and_nobody_elses,
    test_a_value_the_database_cannot_hold_is_in_no_row,
    test_an_entry_is_read_back_whole,
    test_recent_gives_the_newest_first,
)
from tests.store.test_metered_days import (  # noqa: F401 - the same
    test_other_days_are_other_rows_and_older_ones_are_left_out,
    test_what_is_added_adds_up_and_idle_capacity_is_shared_by_the_requests_of_the_day,
)
from tests.store.test_restatements import (  # noqa: F401 - the same
    test_a_restatement_to_unknown_makes_the_sum_say_so,
    test_one_that_is_never_taken_is_put_aside_and_holds_up_nobody,
    test_sums_take_the_last_that_nothing_replaces,
    test_the_entry_stays_and_lists_what_was_said_later,
    test_the_same_restatement_twice_is_one_and_nothing_is_replaced_twice,
)
from tests.store.test_usage import *  # noqa: F403 - the same tests, with this folder's fixture `url`
from tests.store.together import raised_by_many

TABLES = {"alembic_version", *metadata.tables}


def looked_at(url, look):
    async def session():
        engine = postgresql_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(look)
        finally:
            await engine.dispose()

    return asyncio.run(session())


def tables(url):
    return set(looked_at(url, lambda connection: inspect(connection).get_table_names()))


def test_an_empty_database_becomes_what_the_tables_say(url):
    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    migrate(url)
    assert looked_at(url, differences) == []
    assert sorted(index["name"] for index in looked_at(url, lambda connection: inspect(connection).get_indexes("ledger"))) == [
        "ledger_at_s",
        "ledger_response_id",
    ]


def test_down_and_up_again(url):
    migrate(url)
    downgrade(url, "base")
    assert tables(url) == {"alembic_version"}
    asyncio.run(migrate_in_thread(url))
    assert tables(url) == TABLES


def test_processes_that_start_together_migrate_once(url):
    assert raised_by_many(lambda: migrate(url), 6) == []
    assert tables(url) == TABLES


def test_a_database_of_a_later_version_is_refused(server, database, url):
    migrate(url)
    server.rows(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionError, match=f"not one this version knows \\(up to {HEAD}\\)"):
        migrate(url)


def test_inserting_again_changes_nothing(server, database, url, entry):
    async def steps(ledger):
        await ledger.insert_records(written(entry(), entry(id="gl-2")))
        await ledger.insert_records(written(entry(status=500), entry(id="gl-3"), entry(id="gl-3", status=500)))

    run(url, steps)
    assert server.rows(database, "SELECT id, status FROM ledger ORDER BY id") == [("gl-1", "200"), ("gl-2", "200"), ("gl-3", "200")]
    assert server.rows(database, "SELECT policy, count(*) FROM exchanges GROUP BY policy") == [("green", "3")]


WRONG = (
    ("status", 2**63, "22000"),
    ("status", 2**31, "22000"),
    ("duration_s", float("nan"), "23502"),
    ("team", ["search"], "UndecodableError"),
    ("task", "a\0b", "22021"),
    ("response_id", random.Random(1).randbytes(5000).hex(), "54000"),
)


def test_what_cannot_be_a_row_is_set_aside_and_holds_nobody_up(server, database, url, entry):
    """Integers beyond their column, no number, a list, NUL, a text too long for its index, a lone surrogate, bytes of no record."""
    bad = [(written(entry(id=f"gl-bad-{i}", **{name: value}))[1], kind) for i, (name, value, kind) in enumerate(WRONG)]
    bad += [(written(entry(id="gl-bad-x"))[1].replace(b"search-prod", b"search-\xed\xa0\x80."), "UndecodableError")]
    bad += [(b"rubbish", "UndecodableError")]
    records = written(*(entry(id=f"gl-{i}") for i in range(20)))
    for at, (record, _) in enumerate(bad):
        records.insert(3 * at + 1, record)

    async def steps(ledger):
        await ledger.insert_records(records)
        await ledger.insert_records(records)

    run(url, steps)
    assert sorted(server.rows(database, "SELECT id FROM ledger")) == sorted((f"gl-{i}",) for i in range(20))
    kept = server.rows(database, "SELECT kind, encode(record, 'hex') FROM ledger_quarantine")
    assert sorted(kept) == sorted((kind, record.hex()) for record, kind in bad)


def test_a_figure_that_is_no_number_is_unknown(url, entry):
    """PostgreSQL would keep NaN, and every sum over it would be NaN."""
    context, row = parts(entry())
    odd = encode(row).replace(encode(3600.0), encode(float("nan")))

    async def steps(ledger):
        await ledger.insert_records([encode(context), odd, *written(entry(id="gl-2"))])
        return (await ledger.get("gl-1", None)).carbon.energy_j, await ledger.usage(UsageQuery())

    energy_j, [found] = run(url, steps)
    assert energy_j is None
    assert (found["energy_wh"], found["energy_wh_unknown"]) == (1.0, 1)


def test_a_password_is_asked_for_and_never_told(server, database, caplog):
    server.guard("right")
    for password, kind in (("right", None), ("hunter2", "28P01")):
        url = server.url(database, f"guarded:{password}")
        if kind is None:
            asyncio.run(migrate_in_thread(url))
            continue
        with pytest.raises(StoreUnavailableError, match=kind) as caught:
            asyncio.run(Ledger.open(url))
        told = [repr(error) for error in (caught.value, caught.value.__cause__, caught.value.__context__)]
        assert "hunter2" not in "".join([*told, caplog.text, repr(postgresql_engine(url))])


@pytest.mark.parametrize(("database_", "kind"), [("nowhere", "3D000"), (None, "ConnectionRefusedError")])
def test_a_database_that_is_not_there_says_so(server, database_, kind):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    url = server.url(database_) if database_ else server.url("x").replace(str(server.port), str(closed))
    with pytest.raises(StoreUnavailableError, match=kind):
        asyncio.run(Ledger.open(url))


def test_contexts_met_in_another_order_are_no_deadlock(url, entry):
    """Two processes write the same contexts at the same time."""
    records = written(*(entry(id=f"gl-{i}", policy=f"p{i}") for i in range(200)))

    async def session():
        ledgers = [await Ledger.open(url) for _ in range(2)]
        try:
            await asyncio.gather(ledgers[0].insert_records(records), ledgers[1].insert_records(records[::-1]))
            return await ledgers[0].usage(UsageQuery())
        finally:
            for ledger in ledgers:
                await ledger.close()

    [found] = asyncio.run(session())
    assert found["requests"] == 200
