"""The fit of a calibration: non-negative least absolute deviations in three terms, tried on a day it has not seen.

    joules = a + b_in·uncached + b_out·out + c·out·(in + out/2)      weights 1/foreseen: errors are relative

`a + b·tokens` is fitted beside it and reported. Each is a linear programme for HiGHS, solved as its dual: as many variables as records,
each with two bounds, and as many rows as terms. Needs the extra `calibration`. 8,000 records take some seconds: never on an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import log
from statistics import median

import msgspec

from carbon.bands import Band
from carbon.calibration import (
    BETTER,
    DAY_S,
    LEAST_OF_DAY,
    LEAST_RECORDS,
    NARROWEST,
    PRIOR_RECORDS,
    Calibration,
    Evidence,
    Measured,
    Terms,
    digest,
    missing,
    of,
    uncached,
)
from carbon.energy import Estimator, Proportional
from carbon.fitting import MissingExtraError
from carbon.roofline import Form

MOST_FITTED = 8000
"""Records of one fit; of more, so many are drawn by their ids."""
FOLDS = 5
ROUNDS = 8
"""Weights follow from the fit and the fit from them: it stands still after three or four."""
OUTLIER_MADS = 5.0
LEAST_MAD = 0.02
"""Of logarithms: records that follow a form to the last digit have a median deviation of nothing."""
LEAST_TRAINED = 100

Quantile = Callable[[list[list[float]], list[float], list[float], float], Sequence[float]]
"""The non-negative x for which the weighted deviations of a vector from a matrix times x are least, those above counting `tau`."""
Row = Callable[[Measured], list[float]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the evidence: a calibration, accepted or not, or what is missing."""

    missing: tuple[str, ...] = ()
    calibration: Calibration | None = None


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How a fit to all before the last day does on it."""

    n: int
    error: float
    cutoff_s: float


def calibrate(
    evidence: Evidence, prior: Estimator, incumbent: Calibration | None, fitted_at_s: float, solve: Quantile | None = None
) -> Verdict:
    """The same arguments give the same bytes. Raises MissingExtraError without scipy.

    `incumbent`: the calibration in force, of the same machine; None: the prior is. The prior's figures are joules of the same boundary.
    """
    evidence = drawn(evidence)
    if lacks := missing(evidence):
        return Verdict(missing=lacks)
    fit = _Fit(prior, solve or _scipy())
    records = evidence.records
    kept = fit.without_outliers(records)
    if len(kept) < LEAST_RECORDS:
        return Verdict(missing=(f"{len(kept)} measured records of {LEAST_RECORDS} that agree with one another",))
    fit.learn_prior(kept)
    trial = fit.tried(kept)
    if trial is None:
        return Verdict(missing=("too few records before the last day, or on it, to try a fit",))
    before = fit.prior_terms if incumbent is None else incumbent.terms
    last_day = [each for each in kept if each.at_s >= trial.cutoff_s]
    incumbent_error = _error(last_day, fit.prior_figure if incumbent is None else lambda each: of(before, each))
    fitted, step_j = fit.three_terms(kept)
    terms = _rounded(fit.shrunk(fitted, len(kept)))
    terms_error = _error(last_day, lambda each: of(terms, each))
    band = fit.band(kept).combined(evidence.band)
    plain = fit.plain(kept)
    return Verdict(
        calibration=Calibration(
            deployment=evidence.deployment,
            model=evidence.model,
            gpu=evidence.gpu,
            machine=evidence.machine,
            source=evidence.source,
            data=digest(records),
            fitted_at_s=fitted_at_s,
            n=len(kept),
            dropped=len(records) - len(kept),
            span_s=evidence.span_s,
            token_span=_figure(evidence.token_span),
            terms=terms,
            fitted=_rounded(fitted),
            weight=_figure(_weight(len(kept))),
            step_j=None if step_j is None else _figure(step_j),
            low=_figure(band.low),
            high=_figure(band.high),
            cv_mdape=_figure(fit.cross_validated(kept, lambda some: fit.three_terms(some)[0])),
            plain_cv_mdape=_figure(fit.cross_validated(kept, fit.plain)),
            plain_request_j=_figure(plain.request_j),
            plain_token_j=_figure(plain.form.token),
            prior_error=_figure(_error(kept, fit.prior_figure)),
            held_out=trial.n,
            held_out_error=_figure(trial.error),
            terms_error=_figure(terms_error),
            incumbent_error=_figure(incumbent_error),
            incumbent=prior.method if incumbent is None else incumbent.id,
            accepted=trial.error <= BETTER * incumbent_error and terms_error <= incumbent_error,
        ).named()
    )


def drawn(evidence: Evidence) -> Evidence:
    """Its records in the order of time; where there are too many, those whose ids come first by their digests: chance has no say."""
    records: Sequence[Measured] = evidence.records
    if len(records) > MOST_FITTED:
        # sorting them all would hold the interpreter for as long as a request may take
        least = int(1.05 * MOST_FITTED / len(records) * 2**64)
        records = sorted([each for each in records if _number(each) < least], key=lambda each: (_number(each), each.id))[:MOST_FITTED]
    return msgspec.structs.replace(evidence, records=tuple(sorted(records, key=lambda each: (each.at_s, each.id))))


class _Fit:
    """Fits over one prior with one solver."""

    def __init__(self, prior: Estimator, solve: Quantile) -> None:
        self._prior, self._solve = prior, solve
        self.prior_terms = Terms(request_j=0.0, form=Form(0.0, 0.0, 0.0))

    def prior_figure(self, record: Measured) -> float:
        return self._prior.energy_j(record.input_tokens, record.cached_tokens, record.output_tokens)

    def learn_prior(self, records: Sequence[Measured]) -> None:
        """The prior in our terms: its own form, or, of one that has another (closed weights), the closest to its figures of this work."""
        if isinstance(self._prior, Proportional):
            self.prior_terms = Terms(request_j=0.0, form=self._prior.form)
            return
        figures = [self.prior_figure(each) for each in records]
        rows = [[0.0, *_three(each)[1:]] for each in records]
        found = self._fitted(rows, figures, figures)
        self.prior_terms = Terms(request_j=0.0, form=Form(found[2], found[3], found[1]))

    def three_terms(self, records: Sequence[Measured]) -> tuple[Terms, float | None]:
        """The fit by itself, and joules per output token and 1/batch where all batches are known."""
        batches = [each.batch for each in records if each.batch is not None and each.batch > 0]
        known = len(batches) == len(records)
        row: Row = _three_and_step if known else _three
        found = self._fitted([row(each) for each in records], [each.energy_j for each in records], self._foreseen(records))
        step_j = found[4] if known else None
        token = found[2] + (step_j * median(1 / batch for batch in batches) if step_j else 0.0)
        return Terms(request_j=found[0], form=Form(token, found[3], found[1])), step_j

    def plain(self, records: Sequence[Measured]) -> Terms:
        """`a + b·tokens`: every token costs the same, be it read, cached or written."""
        rows = [[1.0, float(each.tokens)] for each in records]
        found = self._fitted(rows, [each.energy_j for each in records], self._foreseen(records))
        return Terms(request_j=found[0], form=Form(found[1], 0.0, found[1]))

    def shrunk(self, fitted: Terms, n: int) -> Terms:
        """Drawn to the prior, the more so the less was measured."""
        w, mine, given = _weight(n), fitted.form, self.prior_terms.form
        prefill = w * mine.prefill + (1 - w) * given.prefill
        return Terms(
            request_j=w * fitted.request_j + (1 - w) * self.prior_terms.request_j,
            form=Form(
                token=w * mine.token + (1 - w) * given.token,
                context=w * mine.context + (1 - w) * given.context,
                prefill=prefill,
                attention=(1 - w) * given.prefill * given.attention / prefill if prefill > 0 else 0.0,
            ),
        )

    def without_outliers(self, records: Sequence[Measured]) -> list[Measured]:
        """Those whose joules per token lie within five median deviations of what a first fit foresees of that work.

        Against the plain median the rarer kind of work would fall out: an answer's token costs ten times a prompt's.
        """
        terms = self.three_terms(records)[0]
        off = [log(each.energy_j / max(of(terms, each), 1e-9)) for each in records]
        middle = median(off)
        reach = OUTLIER_MADS * max(LEAST_MAD, median(abs(each - middle) for each in off))
        return [record for record, each in zip(records, off, strict=True) if abs(each - middle) <= reach]

    def tried(self, records: Sequence[Measured]) -> _Trial | None:
        """On the last day of the records; where they span less than three, on the last third."""
        last_s, first_s = records[-1].at_s, records[0].at_s
        cutoff_s = last_s - min(DAY_S, (last_s - first_s) / 3)
        seen = [each for each in records if each.at_s < cutoff_s]
        unseen = [each for each in records if each.at_s >= cutoff_s]
        if len(seen) < LEAST_TRAINED or len(unseen) < LEAST_OF_DAY:
            return None
        terms = self.shrunk(self.three_terms(seen)[0], len(seen))
        return _Trial(n=len(unseen), error=_error(unseen, lambda each: of(terms, each)), cutoff_s=cutoff_s)

    def cross_validated(self, records: Sequence[Measured], made: Callable[[Sequence[Measured]], Terms]) -> float:
        """Median error of records that the fit had not seen."""
        return median(abs(foreseen / each.energy_j - 1) for each, foreseen in self._folded(records, made))

    def band(self, records: Sequence[Measured]) -> Band:
        """80 % of what a fit drawn to the prior had not seen: quantile fits of one coefficient to what it foresaw.

        One factor for low and one for high cannot cross, and leave the figures monotone; the tails of every term by itself can do neither.
        """
        folded = self._folded(records, lambda some: self.shrunk(self.three_terms(some)[0], len(some)))
        foreseen = [[figure] for _, figure in folded]
        measured, weights = [each.energy_j for each, _ in folded], [1 / figure for _, figure in folded]
        low, high = (float(self._solve(foreseen, measured, weights, tau)[0]) for tau in (0.1, 0.9))
        return Band(min(NARROWEST.low, low), max(NARROWEST.high, high))

    def _folded(self, records: Sequence[Measured], made: Callable[[Sequence[Measured]], Terms]) -> list[tuple[Measured, float]]:
        fold = {each.id: _number(each) % FOLDS for each in records}
        folded = []
        for k in range(FOLDS):
            terms = made([each for each in records if fold[each.id] != k])
            folded += [(each, max(of(terms, each), 1e-9)) for each in records if fold[each.id] == k]
        return folded

    def _foreseen(self, records: Iterable[Measured]) -> list[float]:
        return [self.prior_figure(each) for each in records]

    def _fitted(self, rows: list[list[float]], measured: list[float], foreseen: list[float]) -> list[float]:
        """Weights begin with the prior's figures, which no outlier has touched."""
        scales = [sum(column) / len(rows) or 1.0 for column in zip(*rows, strict=True)]
        scaled = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in rows]
        least = 1e-3 * median(measured)
        found: list[float] = []
        for _ in range(ROUNDS):
            before = found
            found = [float(x) for x in self._solve(scaled, measured, [1 / max(least, figure) for figure in foreseen], 0.5)]
            if before and max(abs(a - b) for a, b in zip(found, before, strict=True)) <= 1e-9 * max(found):
                break
            foreseen = [sum(a * x for a, x in zip(row, found, strict=True)) for row in scaled]
        return [max(0.0, x) / scale for x, scale in zip(found, scales, strict=True)]


def _three(record: Measured) -> list[float]:
    out = float(record.output_tokens)
    return [1.0, uncached(record), out, out * (record.input_tokens + 0.5 * out)]


def _three_and_step(record: Measured) -> list[float]:
    return [*_three(record), record.output_tokens / (record.batch or 1.0)]


def _number(record: Measured) -> int:
    return int.from_bytes(blake2b(record.id.encode(), digest_size=8).digest(), "big")


def _weight(n: int) -> float:
    return n / (n + PRIOR_RECORDS)


def _error(records: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    return median(abs(figure(each) / each.energy_j - 1) for each in records)


def _rounded(terms: Terms) -> Terms:
    form = terms.form
    return Terms(
        request_j=_figure(terms.request_j),
        form=Form(_figure(form.token), _figure(form.context), _figure(form.prefill), _figure(form.attention)),
    )


def _figure(value: float) -> float:
    """Six significant digits: the last ones of a solver differ from one processor to the next."""
    return float(f"{value:.6g}")


def _scipy() -> Quantile:
    try:
        import numpy as np
        from scipy.optimize import linprog
    except ImportError as error:
        raise MissingExtraError("calibrations are fitted with scipy: install the extra `calibration`") from error

    def solve(rows: list[list[float]], measured: list[float], weights: list[float], tau: float) -> Sequence[float]:
        matrix, weight = np.asarray(rows), np.asarray(weights)
        mean = float(np.mean(weight))
        bounds = np.column_stack([-(1 - tau) * weight, tau * weight]) / mean
        size = float(np.median(measured))
        done = linprog(-np.asarray(measured) / size, A_ub=matrix.T, b_ub=np.zeros(matrix.shape[1]), bounds=bounds, method="highs")
        found: Sequence[float] = (-size * done.ineqlin.marginals).tolist()
        return found

    return solve
