"""The fit of a calibration: non-negative least absolute deviations in three terms, tried on a day it has not seen.

    joules = a + b_in·uncached + b_out·out + c·out·(in + out/2)      weights 1/foreseen: errors are relative

Where the batch of 200 records and more is known, output tokens over the batch are tried as a fourth term, and taken only if records that
the fit had not seen are foreseen better with it. `a + b·tokens` is fitted beside it and reported. Each is a linear programme for HiGHS,
solved as its dual: as many variables as records,
each with two bounds, and as many rows as terms. Needs the extra `calibration`. 8,000 records take some seconds: never on an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import log
from statistics import median
from typing import NamedTuple, TypeVar

import msgspec

from carbon.bands import Band
from carbon.calibration import (
    BETTER,
    DAY_S,
    LEAST_OF_DAY,
    LEAST_RECORDS,
    NARROWEST,
    PRIOR_RECORDS,
    Batched,
    BatchTerms,
    Calibration,
    Evidence,
    Measured,
    Terms,
    digest,
    foreseen,
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
LEAST_J = 1e-9
"""What no figure is taken to be below, where something is divided by it."""
NO_TERMS = Terms(request_j=0.0, form=Form(0.0, 0.0, 0.0))
Made = TypeVar("Made")

Quantile = Callable[[list[list[float]], list[float], list[float], float], Sequence[float]]
"""The non-negative x for which the weighted deviations of a vector from a matrix times x are least, those above counting `tau`."""
Figure = Callable[[Measured], float]
"""Joules foreseen of a record's work."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the evidence: a calibration, accepted or not, or what is missing."""

    missing: tuple[str, ...] = ()
    calibration: Calibration | None = None


class _Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """The three terms, and those that know the batch where they are in use."""

    terms: Terms
    by_batch: BatchTerms | None = None

    def joules(self, record: Measured) -> float:
        return foreseen(self.terms, self.by_batch, record)


class _How(msgspec.Struct, frozen=True, kw_only=True):
    """As how many records the prior counts."""

    prior_records: int
    batch_prior_records: int | None = None
    """In the terms that know the batch; None: they are not in use."""


class _Compared(NamedTuple):
    """Records with what fits foresaw that had not seen them."""

    raw: list[tuple[Measured, float]]
    shrunk: list[tuple[Measured, float]]

    @property
    def prior_records(self) -> int:
        """0 where it is better by 5 % not to be drawn to the prior: one of another batch or machine has other proportions."""
        return 0 if _median_error(self.raw) < BETTER * _median_error(self.shrunk) else PRIOR_RECORDS

    def of(self, prior_records: int) -> list[tuple[Measured, float]]:
        return self.shrunk if prior_records else self.raw

    @property
    def chosen(self) -> list[tuple[Measured, float]]:
        return self.of(self.prior_records)


class _Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A fit to all before the last day, and that day."""

    fitted: _Fitted
    unseen: list[Measured]

    @property
    def error(self) -> float:
        return _error(self.unseen, self.fitted.joules)

    @property
    def batchless_error(self) -> float:
        return _error(self.unseen, lambda each: of(self.fitted.terms, each))


def calibrate(
    evidence: Evidence, prior: Estimator, incumbent: Calibration | None, fitted_at_s: float, solve: Quantile | None = None
) -> Verdict:
    """The same arguments give the same bytes. Raises MissingExtraError without scipy.

    `incumbent`: the calibration in force, of the same machine and boundary; None: the prior is, whose own boundary is the facility: it is
    drawn to in its proportions alone, and beaten as it is.
    """
    evidence = drawn(evidence)
    if lacks := missing(evidence):
        return Verdict(missing=lacks)
    fit = _Fit(prior, solve or solver())
    kept = fit.without_outliers(evidence.records)
    if len(kept) < LEAST_RECORDS:
        return Verdict(missing=(f"{len(kept)} measured records of {LEAST_RECORDS} that agree with one another",))
    fit.learn_prior(kept)
    compared = fit.compared(kept)
    batched = fit.batched(kept, evidence.band, compared.prior_records)
    how = _How(prior_records=compared.prior_records, batch_prior_records=None if batched is None else _prior_of(batched))
    trial = fit.tried(kept, how)
    if trial is None:
        return Verdict(missing=("too few records before the last day, or on it, to try a fit",))
    fitted = fit.three_terms(kept)
    band, plain = fit.band(compared.chosen).combined(evidence.band), fit.plain(kept)
    made = Calibration(
        deployment=evidence.deployment,
        model=evidence.model,
        gpu=evidence.gpu,
        machine=evidence.machine,
        source=evidence.source,
        boundary=evidence.boundary,
        data=digest(evidence.records),
        fitted_at_s=fitted_at_s,
        n=len(kept),
        dropped=len(evidence.records) - len(kept),
        span_s=evidence.span_s,
        token_span=_figure(evidence.token_span),
        terms=_rounded(fit.shrunk(fitted, kept, how.prior_records)),
        fitted=_rounded(fitted),
        weight=_figure(_weight(len(kept), how.prior_records)),
        prior_level=_figure(fit.level(kept)),
        batched=batched,
        low=_figure(band.low),
        high=_figure(band.high),
        cv_mdape=_figure(_median_error(compared.chosen)),
        plain_cv_mdape=_figure(_median_error([(each, of(found, each)) for each, found in fit.folded(kept, fit.plain)])),
        plain_request_j=_figure(plain.request_j),
        plain_token_j=_figure(plain.form.token),
        prior_error=_figure(_error(kept, fit.prior_figure)),
        held_out=len(trial.unseen),
        held_out_error=_figure(trial.error),
        terms_error=0.0,
        incumbent_error=0.0,
        incumbent=prior.method if incumbent is None else incumbent.id,
        accepted=False,
    )
    return Verdict(calibration=_judged(made, trial, fit.prior_figure, incumbent).named())


def _prior_of(batched: Batched) -> int:
    return 0 if batched.weight == 1.0 else PRIOR_RECORDS


def _judged(made: Calibration, trial: _Trial, prior_figure: Figure, incumbent: Calibration | None) -> Calibration:
    """Accepted where it is better on the last day than what is in force; and where no batch is known, not worse than the prior."""
    before = prior_figure if incumbent is None else incumbent.foreseen
    incumbent_error, terms_error = _error(trial.unseen, before), _error(trial.unseen, made.foreseen)
    return msgspec.structs.replace(
        made,
        terms_error=_figure(terms_error),
        incumbent_error=_figure(incumbent_error),
        accepted=trial.error <= BETTER * incumbent_error
        and terms_error <= incumbent_error
        and BETTER * trial.batchless_error <= _error(trial.unseen, prior_figure),
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
        self.prior_terms = NO_TERMS

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

    def three_terms(self, records: Sequence[Measured]) -> Terms:
        """The fit by itself, of records with and without a batch."""
        found = self._fitted([_three(each) for each in records], [each.energy_j for each in records], self._foreseen(records))
        return Terms(request_j=found[0], form=Form(found[2], found[3], found[1]))

    def four_terms(self, records: Sequence[Measured]) -> BatchTerms:
        """The same of records that all have a batch, with output tokens over it."""
        found = self._fitted([_three_and_step(each) for each in records], [each.energy_j for each in records], self._foreseen(records))
        batches = sorted(each.batch or 1.0 for each in records)
        edge = len(batches) // 100
        terms = Terms(request_j=found[0], form=Form(found[2], found[3], found[1]))
        return BatchTerms(terms=terms, step_j=found[4], least=batches[edge], most=batches[-1 - edge])

    def of(self, records: Sequence[Measured], how: _How) -> _Fitted:
        """A fit to them; with the terms that know the batch where the records can tell them."""
        terms, known = self.shrunk(self.three_terms(records), records, how.prior_records), _with_batch(records)
        if how.batch_prior_records is None or len(known) < LEAST_TRAINED:
            return _Fitted(terms=terms)
        return _Fitted(terms=terms, by_batch=self.shrunk_by_batch(self.four_terms(known), known, how.batch_prior_records))

    def compared(self, records: Sequence[Measured]) -> _Compared:
        """The three terms on records that they were not fitted to, by themselves and drawn to the prior."""
        folded = self.folded(records, lambda some: ((raw := self.three_terms(some)), self.shrunk(raw, some, PRIOR_RECORDS)))
        return _Compared([(each, of(raw, each)) for each, (raw, _) in folded], [(each, of(shrunk, each)) for each, (_, shrunk) in folded])

    def compared_by_batch(self, records: Sequence[Measured]) -> _Compared:
        """The same of the terms that know the batch."""
        folded = self.folded(records, lambda some: ((raw := self.four_terms(some)), self.shrunk_by_batch(raw, some, PRIOR_RECORDS)))
        return _Compared(
            [(each, foreseen(NO_TERMS, raw, each)) for each, (raw, _) in folded],
            [(each, foreseen(NO_TERMS, shrunk, each)) for each, (_, shrunk) in folded],
        )

    def batched(self, records: Sequence[Measured], measuring: Band, prior_records: int) -> Batched | None:
        """None where too few batches are known, or where it is not better by 5 % to know them: in the folds and on the last day."""
        known = _with_batch(records)
        if len(known) < LEAST_RECORDS:
            return None
        with_it, without = self.compared_by_batch(known), self.compared(known).of(prior_records)
        how = _How(prior_records=prior_records, batch_prior_records=with_it.prior_records)
        trial, error, without_error = self.tried(known, how), _median_error(with_it.chosen), _median_error(without)
        if trial is None or error > BETTER * without_error or trial.error > BETTER * trial.batchless_error:
            return None
        found, band = self.shrunk_by_batch(self.four_terms(known), known, with_it.prior_records), self.band(with_it.chosen)
        band = band.combined(measuring)
        return Batched(
            terms=BatchTerms(
                terms=_rounded(found.terms), step_j=_figure(found.step_j), least=_figure(found.least), most=_figure(found.most)
            ),
            n=len(known),
            weight=_figure(_weight(len(known), with_it.prior_records)),
            low=_figure(band.low),
            high=_figure(band.high),
            cv_mdape=_figure(error),
            without_cv_mdape=_figure(without_error),
            held_out_error=_figure(trial.error),
            without_held_out_error=_figure(trial.batchless_error),
        )

    def plain(self, records: Sequence[Measured]) -> Terms:
        """`a + b·tokens`: every token costs the same, be it read, cached or written."""
        rows = [[1.0, float(each.tokens)] for each in records]
        found = self._fitted(rows, [each.energy_j for each in records], self._foreseen(records))
        return Terms(request_j=found[0], form=Form(found[1], 0.0, found[1]))

    def shrunk(self, fitted: Terms, records: Sequence[Measured], prior_records: int) -> Terms:
        """Drawn to the prior in the proportions of its terms, the more so the less was measured.

        Its level is taken from the records: two hundred of them know that, and a prior that is off by two would spoil what they say.
        """
        w, mine, given, level = _weight(len(records), prior_records), fitted.form, self.prior_terms.form, self.level(records)
        prefill = w * mine.prefill + (1 - w) * level * given.prefill
        return Terms(
            request_j=w * fitted.request_j + (1 - w) * level * self.prior_terms.request_j,
            form=Form(
                token=w * mine.token + (1 - w) * level * given.token,
                context=w * mine.context + (1 - w) * level * given.context,
                prefill=prefill,
                attention=(1 - w) * level * given.prefill * given.attention / prefill if prefill > 0 else 0.0,
            ),
        )

    def level(self, records: Sequence[Measured]) -> float:
        """What was measured over what the prior foresees, in the middle."""
        return median(each.energy_j / max(of(self.prior_terms, each), LEAST_J) for each in records)

    def without_outliers(self, records: Sequence[Measured]) -> list[Measured]:
        """Those whose joules per token lie within five median deviations of what a first fit foresees of that work.

        Against the plain median the rarer kind of work would fall out: an answer's token costs ten times a prompt's.
        """
        known = _with_batch(records)
        if len(known) < LEAST_RECORDS:
            return self._alike(records, _Fitted(terms=self.three_terms(records)))
        # the batch moves energy further than an error of measuring may: each kind is judged by what is known of it
        unknown = [each for each in records if each.batch is None]
        alike = self._alike(known, _Fitted(terms=NO_TERMS, by_batch=self.four_terms(known)))
        alike += self._alike(unknown, _Fitted(terms=self.three_terms(records))) if unknown else []
        return sorted(alike, key=lambda each: (each.at_s, each.id))

    def _alike(self, records: Sequence[Measured], first: _Fitted) -> list[Measured]:
        off = [log(each.energy_j / max(first.joules(each), LEAST_J)) for each in records]
        middle = median(off)
        reach = OUTLIER_MADS * max(LEAST_MAD, median(abs(each - middle) for each in off))
        return [record for record, each in zip(records, off, strict=True) if abs(each - middle) <= reach]

    def tried(self, records: Sequence[Measured], how: _How) -> _Trial | None:
        """On the last day of the records; where they span less than three, on the last third."""
        last_s, first_s = records[-1].at_s, records[0].at_s
        cutoff_s = last_s - min(DAY_S, (last_s - first_s) / 3)
        seen = [each for each in records if each.at_s < cutoff_s]
        unseen = [each for each in records if each.at_s >= cutoff_s]
        if len(seen) < LEAST_TRAINED or len(unseen) < LEAST_OF_DAY:
            return None
        return _Trial(fitted=self.of(seen, how), unseen=unseen)

    def band(self, unseen: Sequence[tuple[Measured, float]]) -> Band:
        """80 % of records beside what fits that had not seen them foresaw: quantile fits of one coefficient.

        One factor for low and one for high cannot cross, and leave the figures monotone; the tails of every term by itself can do neither.
        """
        rows = [[max(joules, LEAST_J)] for _, joules in unseen]
        measured, weights = [each.energy_j for each, _ in unseen], [1 / row[0] for row in rows]
        low, high = (float(self._solve(rows, measured, weights, tau)[0]) for tau in (0.1, 0.9))
        return Band(min(NARROWEST.low, low), max(NARROWEST.high, high))

    def folded(self, records: Sequence[Measured], made: Callable[[Sequence[Measured]], Made]) -> list[tuple[Measured, Made]]:
        """Each record with what is made of the four fifths that it is not in."""
        fold = {each.id: _number(each) % FOLDS for each in records}
        found = []
        for k in range(FOLDS):
            one = made([each for each in records if fold[each.id] != k])
            found += [(each, one) for each in records if fold[each.id] == k]
        return found

    def shrunk_by_batch(self, found: BatchTerms, records: Sequence[Measured], prior_records: int) -> BatchTerms:
        """Drawn to the prior, which says how much a token costs in the usual batch: how that falls with the batch stays as it was found."""
        terms, usual_j = found.terms, found.terms.form.token + found.step_j / median(each.batch or 1.0 for each in records)
        form = msgspec.structs.replace(terms.form, token=usual_j)
        drawn = self.shrunk(msgspec.structs.replace(terms, form=form), records, prior_records)
        scale = drawn.form.token / usual_j if usual_j > 0 else 0.0
        form = msgspec.structs.replace(drawn.form, token=terms.form.token * scale if usual_j > 0 else drawn.form.token)
        return msgspec.structs.replace(found, terms=msgspec.structs.replace(drawn, form=form), step_j=found.step_j * scale)

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


def _with_batch(records: Sequence[Measured]) -> list[Measured]:
    return [each for each in records if each.batch is not None]


def _number(record: Measured) -> int:
    return int.from_bytes(blake2b(record.id.encode(), digest_size=8).digest(), "big")


def _weight(n: int, prior_records: int) -> float:
    return n / (n + prior_records)


def _error(records: Sequence[Measured], figure: Figure) -> float:
    return _median_error([(each, figure(each)) for each in records])


def _median_error(foreseen_of: Sequence[tuple[Measured, float]]) -> float:
    return median(abs(joules / each.energy_j - 1) for each, joules in foreseen_of)


def _rounded(terms: Terms) -> Terms:
    form = terms.form
    return Terms(
        request_j=_figure(terms.request_j),
        form=Form(_figure(form.token), _figure(form.context), _figure(form.prefill), _figure(form.attention)),
    )


def _figure(value: float) -> float:
    """Six significant digits: the last ones of a solver differ from one processor to the next."""
    return float(f"{value:.6g}")


def solver() -> Quantile:
    """HiGHS, by scipy. Raises MissingExtraError."""
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
