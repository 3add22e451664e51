"""The rung `calibrated` of the ladder: figures by a calibration in force, and by one that an entry keeps."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from carbon.bands import Band
from carbon.calibration import Batched, BatchTerms, Boundary, Calibration, Source, Terms
from carbon.energy import Estimator, Method
from carbon.roofline import Form
from carbon.runtime import RuntimePower


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """The rung `calibrated` of the ladder. Made by `calibrated` alone, so that there is none without an accepted calibration."""

    id: str
    request_j: float
    form: Form
    band: Band
    cross: Estimator | None = None
    """The prior, which is the next method that qualifies."""
    runtime: RuntimePower | None = None
    batched: Batched | None = None
    warnings: tuple[str, ...] = ()
    """Of every figure made of it."""
    method: Method = "calibrated"

    def at(self, batch: float) -> Calibrated:
        """The same where so many were served together: itself where the batch is in no term."""
        batched = self.batched
        if batched is None:
            return self
        terms = batched.terms.at(batch)
        return Calibrated(
            id=self.id,
            request_j=terms.request_j,
            form=terms.form,
            band=batched.band,
            cross=self.cross,
            runtime=self.runtime,
            warnings=self.warnings,
        )

    def energy_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.request_j + self.form.joules(input_tokens, cached_tokens, output_tokens)

    def low_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.energy_j(input_tokens, cached_tokens, output_tokens) * self.band.low

    def high_j(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> float:
        return self.energy_j(input_tokens, cached_tokens, output_tokens) * self.band.high

    def figures(self, input_tokens: float, cached_tokens: float, output_tokens: float) -> tuple[float, float, float]:
        value = self.request_j + self.form.joules(input_tokens, cached_tokens, output_tokens)
        return value * self.band.low, value, value * self.band.high


def calibrated(calibration: Calibration, prior: Estimator) -> Calibrated:
    """The estimator of an accepted calibration over its prior. Raises ValueError for one that was not accepted."""
    if not calibration.accepted:
        raise ValueError(f"calibration {calibration.id} was not accepted")
    return Calibrated(
        id=calibration.id,
        request_j=calibration.terms.request_j,
        form=calibration.terms.form,
        band=calibration.band,
        cross=prior,
        runtime=prior.runtime,
        batched=calibration.batched,
        warnings=(
            *(("boundary_unknown",) if calibration.boundary == "provider_unknown" else ()),
            *(("calibration_drifted",) if calibration.drift is not None else ()),
        ),
    )


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What `Calibration.record` put into an entry's profile: enough to work its figure out again."""

    calibration: str
    calibration_source: Source
    calibration_boundary: Boundary | None = None
    """None: of a version that did not keep it."""
    calibration_request_j: float
    calibration_token_j: float
    calibration_context_j: float
    calibration_prefill_j: float
    calibration_attention: float
    calibration_low: float
    calibration_high: float
    calibration_drift: float | None = None
    calibration_batch_request_j: float = 0.0
    calibration_batch_token_j: float = 0.0
    calibration_batch_step_j: float | None = None
    """None: the batch was in no term."""
    calibration_batch_context_j: float = 0.0
    calibration_batch_prefill_j: float = 0.0
    calibration_batch_attention: float = 0.0
    calibration_batch_least: float = 1.0
    calibration_batch_most: float = 1.0
    calibration_batch_low: float = 1.0
    calibration_batch_high: float = 1.0

    @property
    def boundary(self) -> Boundary:
        return self.calibration_boundary or ("facility" if self.calibration_source == "measured_attributed" else "provider_unknown")

    @property
    def terms(self) -> Terms:
        form = Form(self.calibration_token_j, self.calibration_context_j, self.calibration_prefill_j, self.calibration_attention)
        return Terms(request_j=self.calibration_request_j, form=form)

    @property
    def at_batch(self) -> BatchTerms | None:
        if self.calibration_batch_step_j is None:
            return None
        form = Form(
            self.calibration_batch_token_j,
            self.calibration_batch_context_j,
            self.calibration_batch_prefill_j,
            self.calibration_batch_attention,
        )
        return BatchTerms(
            terms=Terms(request_j=self.calibration_batch_request_j, form=form),
            step_j=self.calibration_batch_step_j,
            least=self.calibration_batch_least,
            most=self.calibration_batch_most,
        )

    def band(self, batch: float | None) -> Band:
        if batch is None or self.calibration_batch_step_j is None:
            return Band(self.calibration_low, self.calibration_high)
        return Band(self.calibration_batch_low, self.calibration_batch_high)

    def estimator(self, prior: Estimator, batch: float | None = None) -> Calibrated:
        """As it was in force when the entry was made, of an answer that was served in such a batch."""
        known = self.at_batch
        terms = self.terms if batch is None or known is None else known.at(batch)
        return Calibrated(
            id=self.calibration,
            request_j=terms.request_j,
            form=terms.form,
            band=self.band(batch),
            cross=prior,
            runtime=prior.runtime,
        )


def recorded(record: Mapping[str, float | str | None]) -> Recorded | None:
    """The calibration an entry was made by; None where it was made by none. Raises msgspec.ValidationError."""
    return msgspec.convert(record, Recorded) if record.get("calibration") is not None else None
