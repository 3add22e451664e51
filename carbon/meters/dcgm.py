"""A dcgm-exporter's page: energy and power of the GPUs of a machine, by UUID or by the pod that holds them.

DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION is millijoules since boot, DCGM_FI_DEV_POWER_USAGE watts; both are in the exporter's default counters
(NVIDIA/dcgm-exporter etc/default-counters.csv). Values above 2^63 - 17 and above 2^47 stand for "none" (DCGM's dcgm_fields.h:
DCGM_INT64_BLANK, DCGM_FP64_BLANK). The exporter takes new samples every 30 s unless told otherwise (`--collect-interval`, ms).
"""

from __future__ import annotations

import msgspec

from carbon.exposition import Sample
from carbon.meters._base import NotSupportedError, Reach, Reading, Timeout, Url
from carbon.meters._http import page, samples
from carbon.windows import Flag

ENERGY, POWER = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_POWER_USAGE"
OLD_LABELS = {"pod": "pod_name", "namespace": "pod_namespace"}
BLANK_MJ, BLANK_W = 9223372036854775792.0, 140737488355328.0


class Dcgm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dcgm-exporter's page. Without `gpus`, `pod` and `namespace`, every GPU on it; with several of them, those that satisfy all."""

    url: Url
    """With its path, http://HOST:9400/metrics as a rule."""
    gpus: tuple[str, ...] = ()
    """UUIDs."""
    pod: str | None = None
    """A name, or its beginning followed by `*`."""
    namespace: str | None = None
    """Of the pod."""
    timeout_s: Timeout = 5.0
    """For one reading."""

    async def read(self, reach: Reach) -> tuple[Reading, ...]:
        began_s = reach.clock_s()
        body = await page(reach, self.url, self.timeout_s)
        at_s = 0.5 * (began_s + reach.clock_s())
        found: dict[str, list[Sample]] = {}
        for sample in samples(body, (ENERGY, POWER), self.url):
            uuid = sample.labels.get("UUID") or sample.labels.get("uuid")
            if uuid:
                found.setdefault(uuid, []).append(sample)
        chosen = {uuid: told for uuid, told in found.items() if self._wants(uuid, told)}
        readings = tuple(_reading(uuid, told, at_s) for uuid, told in sorted(chosen.items()))
        known = tuple(reading for reading in readings if reading.energy_j is not None or reading.power_w is not None)
        if not known:
            raise NotSupportedError(self._nothing(len(found)))
        return known

    def _wants(self, uuid: str, told: list[Sample]) -> bool:
        if self.gpus and uuid not in self.gpus:
            return False
        return any(self._matches(self.pod, _label(sample, "pod")) and self._in_namespace(sample) for sample in told)

    def _in_namespace(self, sample: Sample) -> bool:
        return self.namespace is None or self.namespace == _label(sample, "namespace")

    @staticmethod
    def _matches(pattern: str | None, name: str) -> bool:
        if pattern is None:
            return True
        return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern

    def _nothing(self, on_page: int) -> str:
        if on_page == 0:
            return f"the exporter's page has neither {ENERGY} nor {POWER}: its list of counters leaves them out"
        return f"of {on_page} GPUs on the exporter's page, none that is asked for tells its energy or power"


def _reading(uuid: str, told: list[Sample], at_s: float) -> Reading:
    """One GPU may stand in several lines, one for each MIG device or pod, each with the counter of the whole GPU, some a moment older."""
    energy_mj = [sample.value for sample in told if sample.name == ENERGY and 0 <= sample.value < BLANK_MJ]
    power_w = [sample.value for sample in told if sample.name == POWER and 0 <= sample.value < BLANK_W]
    pods = {_label(sample, "pod") for sample in told} - {""}
    flags: tuple[Flag, ...] = ()
    if any(sample.labels.get("GPU_I_ID") for sample in told):
        flags = ("mig_whole_gpu",)
    elif len(pods) > 1:
        flags = ("shared",)
    first = told[0]
    labels = {
        "model": first.labels.get("modelName", ""),
        "host": first.labels.get("Hostname", ""),
        "index": first.labels.get("gpu", ""),
        "pod": " ".join(sorted(pods)),
        "namespace": " ".join(sorted({_label(sample, "namespace") for sample in told} - {""})),
    }
    return Reading(
        device=uuid,
        at_s=at_s,
        energy_j=max(energy_mj) / 1000 if energy_mj else None,
        power_w=max(power_w) if power_w else None,
        flags=flags,
        labels={name: value for name, value in labels.items() if value},
    )


def _label(sample: Sample, name: str) -> str:
    """The workload's, not the exporter's own: where Prometheus has put in the latter, the former are `exported_...`.

    With `--use-old-namespace` they are `pod_name` and `pod_namespace`, which Prometheus leaves alone.
    """
    return sample.labels.get(f"exported_{name}") or sample.labels.get(OLD_LABELS[name]) or sample.labels.get(name) or ""
