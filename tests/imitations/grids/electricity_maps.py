"""Electricity Maps' carbon-intensity endpoints, v3 and v4, as strict as they are; carbon/sources/electricity_maps.py cites the shapes."""

from __future__ import annotations

from tests.imitations.grids.server import Answer, Request, instant, said

GRANULARITIES = {"5_minutes": 300, "15_minutes": 900, "hourly": 3600}
WHERE = {"zone", "lat", "lon", "disableCallerLookup", "shouldUseFallbackCallerLookup"}
KNOWN = {
    "latest": {*WHERE, "emissionFactorType", "temporalGranularity", "disableEstimations", "flowTraced"},
    "history": {*WHERE, "emissionFactorType", "temporalGranularity", "disableEstimations", "flowTraced"},
    "forecast": {*WHERE, "horizonHours", "temporalGranularity"},
}
CALLERS_ZONE = "DK-DK2"
"""Where it thinks the caller's address is; the real one answers with that zone when it knows no better."""


class ElectricityMapsApi:
    """`grams` by zone are lifecycle; direct ones are 40 below. `late_h`: hours by which the last observed figure lies back."""

    def __init__(self, now_s: float, token: str = "em-key") -> None:
        self.now_s = now_s
        self.token = token
        self.grams: dict[str, object] = {"SE": 30, "DE": 350, "US-MIDA-PJM": 400, "US-CAL-CISO": 210, CALLERS_ZONE: 75}
        self.plan: set[str] | None = None
        """Zones the key may ask for; None: all."""
        self.forecasts = True
        self.estimated = False
        self.late_h = 0
        self.hidden: set[str] = set()
        """Zones whose latest figure is not there yet."""
        self.left: int | None = None
        """Calls until 429."""

    def answer(self, request: Request) -> Answer:
        version, _, rest = request.path.strip("/").partition("/")
        signal, _, what = rest.partition("/")
        if version not in {"v3", "v4"} or signal != "carbon-intensity" or what not in KNOWN:
            return said({"error": f"Cannot GET {request.path}"}, 404)
        if request.headers.get("auth-token") != self.token:
            return said({"status": "error", "message": "Invalid auth-token"}, 401)
        if self.left is not None:
            if self.left == 0:
                return said({"message": "API rate limit exceeded"}, 429, ("retry-after", "1800"))
            self.left -= 1
        refusal = self._refusal(request, version, what)
        return refusal or self._told(request, version, what)

    def _refusal(self, request: Request, version: str, what: str) -> Answer | None:
        odd = sorted(set(request.params) - KNOWN[what]) + [name for name in request.params if request.one(name) is None]
        if odd:
            return said({"error": f"Unexpected parameter {odd[0]}"}, 400)
        if request.one("temporalGranularity") not in {None, *GRANULARITIES}:
            return said({"error": "Invalid temporalGranularity"}, 400)
        if request.one("emissionFactorType") not in {None, "lifecycle", "direct"}:
            return said({"error": "Valid emission factor types are: lifecycle, direct"}, 400)
        if request.one("horizonHours") not in {None, "6", "24", "48", "72"}:
            return said({"error": "Invalid horizonHours"}, 400)
        foreign = "disableCallerLookup" if version == "v3" else "shouldUseFallbackCallerLookup"
        if foreign in request.params:
            return said({"error": f"Unexpected parameter {foreign}"}, 400)
        zone = self._zone(request)
        if zone is None:
            return said({"error": 'Missing arguments "zone"'}, 400)
        if zone not in self.grams:
            return said({"error": f'No recent data for zone "{zone}"'}, 404)
        if (self.plan is not None and zone not in self.plan) or (what == "forecast" and not self.forecasts):
            words = f"Request unauthorized for zoneKey={zone},requestType={what},dataType=carbon-intensity."
            return said({"error": words, "message": "You do not have access to this specific endpoint for this specific zone."}, 401)
        return None

    def _zone(self, request: Request) -> str | None:
        asked = request.one("disableCallerLookup") == "true" or request.one("shouldUseFallbackCallerLookup") == "false"
        if "lat" in request.params and "lon" in request.params:
            if float(request.one("lon") or "") < 0:  # the sea
                return None if asked else CALLERS_ZONE
            return "SE" if float(request.one("lat") or "") > 55 else "DE"
        zone = request.one("zone")
        return zone if asked or zone in self.grams else CALLERS_ZONE

    def _told(self, request: Request, version: str, what: str) -> Answer:
        zone = self._zone(request)
        assert zone is not None
        granularity = request.one("temporalGranularity") or "hourly"
        period_s = GRANULARITIES[granularity]
        start_s = self.now_s // period_s * period_s - self.late_h * 3600
        kind = request.one("emissionFactorType") or "lifecycle"
        points = [self._point(zone, start_s - n * period_s, kind, version) for n in range(24 * 3600 // period_s)]
        if what == "latest":
            if zone in self.hidden:
                points[0]["carbonIntensity"] = None
            return said({**points[0], "temporalGranularity": granularity})
        if what == "history":
            return said({"zone": zone, "history": points[:0:-1], "temporalGranularity": granularity})
        hours = int(request.one("horizonHours") or 24)
        ahead = [start_s + n * period_s for n in range(hours * 3600 // period_s + 1)]
        told = [{"carbonIntensity": self.grams[zone], "datetime": instant(at_s)} for at_s in ahead]
        return said({"zone": zone, "forecast": told, "temporalGranularity": granularity, "updatedAt": instant(self.now_s)})

    def _point(self, zone: str, start_s: float, kind: str, version: str) -> dict[str, object]:
        value = self.grams[zone]
        return {
            "zone": zone,
            "carbonIntensity": value - 40 if kind == "direct" and type(value) is int else value,
            "datetime": instant(start_s),
            "updatedAt": instant(self.now_s - 60),
            "createdAt": instant(self.now_s - 86400),
            "emissionFactorType": kind,
            **({"flowTraced": True} if version == "v4" else {}),
            "isEstimated": self.estimated,
            "estimationMethod": "FORECASTS_HIERARCHY" if self.estimated else None,
        }
