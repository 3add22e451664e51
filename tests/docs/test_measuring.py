"""docs/measuring.md names every meter, flag and note, and the bounds it states are those of the code."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from carbon import windows
from carbon.attributed import FACILITY, GPU, HOST_COUNTED, WIDER, Note
from carbon.attribution import Weights
from carbon.energy import PUE_ASSUMED
from carbon.meters import meters
from carbon.replica import Bounds
from tests.carbon.simulated_replica import Simulated, attributed, figures, least_squares, simulate, traffic, worst
from tests.carbon.test_fitting import LOADS_PER_S, ROOFLINE, fitted, settled
from tests.docs.pages import quoted, rows, text

PAGE = text("docs/measuring.md")


def test_every_meter_has_its_line():
    assert {quoted(row[0])[0] for row in rows(PAGE, "meter")} == set(meters())


def test_every_flag_has_its_line():
    assert {quoted(row[0])[0] for row in rows(PAGE, "flag")} == set(get_args(windows.Flag))


def test_every_note_has_its_line_and_its_band():
    told = {quoted(row[0])[0]: row[2] for row in rows(PAGE, "note")}
    assert set(told) == set(get_args(Note))
    assert {note: f"×{band.low:g}–{band.high:g}" for note, band in WIDER.items()} == {note: told[note] for note in WIDER}  # noqa: RUF001


def test_bands_and_bounds_are_those_of_the_code():
    bounds = Bounds()
    assert f"×{GPU.low}–{GPU.high}" in PAGE  # noqa: RUF001
    assert f"×{FACILITY.low}–{FACILITY.high}" in PAGE  # noqa: RUF001
    assert f"×{HOST_COUNTED.low}–{HOST_COUNTED.high}" in PAGE  # noqa: RUF001
    assert pytest.approx(HOST_COUNTED.low, abs=0.005) == GPU.combined(PUE_ASSUMED).low
    assert bounds.held_s == 15 * 60
    assert bounds.forgotten_s == 2 * 3600
    assert f"{bounds.windows:,} windows, {bounds.requests:,} requests" in PAGE
    assert f"{bounds.samples:,} samples" in PAGE.replace("\n", " ")
    assert f"{windows.MOST_W:,.0f} W a GPU" in PAGE
    assert windows.GAP_S == 30
    assert windows.MOST_S == 60
    assert windows.IdlePower.MOST == 256


def without_steps() -> Weights:
    """Fitted to single windows, on three kinds of work."""
    rows = [window for per_s in LOADS_PER_S for window in settled(per_s) if window.usable]
    found = least_squares([[row.prefill_tokens, row.decode_tokens, row.decode_context] for row in rows], [row.active_j for row in rows])
    return Weights(prefill_j=found[0], decode_j=found[1], context_j=found[2], source="fitted")


def by_share(unseen: Simulated, tokens: dict[str, float]) -> dict[str, float]:
    energy_j = sum(window.energy_j or 0 for window in unseen.windows)
    return {request: energy_j * count / sum(tokens.values()) for request, count in tokens.items()}


def test_the_table_of_errors_is_what_the_simulation_gives():
    columns = []
    for per_s in LOADS_PER_S:
        unseen = simulate(traffic(per_s, 300, seed=2))
        whole = unseen._replace(lives=[msgspec.structs.replace(life, first_s=None) for life in unseen.lives])
        by_row = [
            by_share(unseen, {life.id: life.output_tokens for life in unseen.lives}),
            by_share(unseen, {life.id: life.output_tokens + life.input_tokens for life in unseen.lives}),
            figures(attributed(unseen, without_steps())[1]),
            figures(attributed(unseen, fitted())[1]),
            figures(attributed(whole, fitted())[1]),
            figures(attributed(unseen, ROOFLINE)[1]),
        ]
        columns.append([f"{100 * worst(found, unseen.truth_j):.0f} %" for found in by_row])
    told = [[cell.strip("* ") for cell in row[1:]] for row in rows(PAGE, "divided by")]
    assert told == [list(row) for row in zip(*columns, strict=True)]
