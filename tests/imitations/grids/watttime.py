"""WattTime's API v3: Basic login, bearer tokens of 30 minutes, and its data endpoints; carbon/sources/watttime.py cites the shapes."""

from __future__ import annotations

import base64

from tests.imitations.grids.server import Answer, Request, instant, page, said

DOCS = "https://docs.watttime.org/"
SIGNALS = {"co2_moer", "co2_aoer", "health_damage"}
PARAMS = {
    "/login": (set(), set()),
    "/v3/region-from-loc": ({"latitude", "longitude", "signal_type"}, set()),
    "/v3/forecast": ({"region", "signal_type"}, {"horizon_hours", "model"}),
    "/v3/historical": ({"region", "signal_type", "start", "end"}, {"model", "include_imputed_marker", "updated_since"}),
}
"""Required and allowed."""


def _stamp(unix_s: float) -> str:
    return instant(unix_s, "%Y-%m-%dT%H:%M:%S+00:00")


def _refused(status: int, error: str, message: str) -> Answer:
    return said({"error": error, "message": message, "docs": DOCS}, status)


class WattTimeApi:
    """`rates` by signal and region, in lb/MWh. Time goes by where a test moves `now_s`."""

    def __init__(self, now_s: float, username: str = "ann", password: str = "pass word") -> None:
        self.now_s = now_s
        self.basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self.rates: dict[tuple[str, str], object] = {
            ("co2_moer", "CAISO_NORTH"): 1000,
            ("co2_aoer", "CAISO_NORTH"): 500,
            ("co2_moer", "SE"): 80,
            ("co2_aoer", "SE"): 50,
        }
        self.denied: set[tuple[str, str]] = set()
        """Signals and regions outside the plan."""
        self.units = "lbs_co2_per_mwh"
        self.imputed = False
        self.late_s = 0.0
        self.tokens: dict[str, float] = {}
        self.logins = 0

    def answer(self, request: Request) -> Answer:
        if request.path not in PARAMS:
            return _refused(404, "NOT_FOUND", "no such path")
        if request.path == "/login":
            return self._login(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.tokens.get(token, 0.0) <= self.now_s:
            return page(401, "Jwt is expired" if token else "Jwt is missing")
        needed, allowed = PARAMS[request.path]
        given = set(request.params)
        if not needed <= given <= needed | allowed or any(request.one(name) is None for name in given):
            return _refused(422, "INVALID_QUERY_PARAMS", "You've provided invalid parameters in your query")
        if request.one("signal_type") not in SIGNALS:
            return _refused(422, "INVALID_QUERY_PARAMS", "signal_type")
        if request.path == "/v3/region-from-loc":
            return self._region(request)
        key = (request.one("signal_type") or "", request.one("region") or "")
        if key[1] not in {region for _, region in self.rates}:
            return _refused(400, "INVALID_REGION", "unknown region")
        if key in self.denied or key not in self.rates:
            return _refused(403, "INVALID_SCOPE", "You do not have sufficient access to this resource.")
        return self._forecast(request, key) if request.path == "/v3/forecast" else self._historical(request, key)

    def _login(self, request: Request) -> Answer:
        self.logins += 1
        if request.headers.get("authorization") != self.basic:
            return page(403, "Forbidden")
        token = f"token-{self.logins}"
        self.tokens[token] = self.now_s + 1800
        return said({"token": token})

    def _region(self, request: Request) -> Answer:
        lat, lon = float(request.one("latitude") or ""), float(request.one("longitude") or "")
        if not -90 <= lat <= 90 or lon < -130:
            return _refused(404, "COORDINATES_NOT_FOUND", "no region there")
        region = "CAISO_NORTH" if lon < 0 else "SE"
        return said({"region": region, "region_full_name": region.title(), "signal_type": request.one("signal_type")})

    def _forecast(self, request: Request, key: tuple[str, str]) -> Answer:
        hours = request.one("horizon_hours") or "24"
        if not hours.isdecimal() or not 0 <= int(hours) <= 72:
            return _refused(422, "INVALID_QUERY_PARAMS", "horizon_hours")
        if key[0] == "co2_aoer":
            return _refused(400, "INVALID_SIGNAL", "co2_aoer has no forecast")
        first_s = self.now_s // 300 * 300 - self.late_s
        points = [{"point_time": _stamp(first_s + n * 300), "value": self.rates[key]} for n in range(int(hours) * 12 + 1)]
        return said({"data": points, "meta": {**self._meta(key, 300), "generated_at": _stamp(first_s), "generated_at_period_seconds": 300}})

    def _historical(self, request: Request, key: tuple[str, str]) -> Answer:
        start, end = request.one("start") or "", request.one("end") or ""
        if not start.endswith(("Z", "+00:00")) or not end.endswith(("Z", "+00:00")):
            return _refused(422, "INVALID_QUERY_PARAMS", "time zones are required")
        last_s = self.now_s // 3600 * 3600 - 3 * 3600 - self.late_s
        points = [{"point_time": _stamp(last_s - n * 3600), "value": self.rates[key]} for n in range(24, -1, -1)]
        if request.one("include_imputed_marker") == "true":
            points = [{**point, "imputed_data_used": self.imputed} for point in points]
        return said({"data": points, "meta": self._meta(key, 3600)})

    def _meta(self, key: tuple[str, str], period_s: int) -> dict[str, object]:
        signal, region = key
        model = {"date": "2026-03-01", "type": "average" if signal == "co2_aoer" else "binned_regression"}
        known = {"data_point_period_seconds": period_s, "region": region, "warnings": [], "signal_type": signal}
        return {**known, "model": model, "units": self.units}
