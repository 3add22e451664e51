"""Energy-Charts' /co2eq: three lists side by side, by the quarter hour; carbon/sources/energy_charts.py says where the shapes are from."""

from __future__ import annotations

from datetime import datetime

from tests.imitations.grids.server import Answer, Request, page, said

QUARTER_S = 900


class EnergyChartsApi:
    """Today by default; observed until `late_s` before now, foretold from there on."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.grams: dict[str, float] = {"de": 351.25, "fr": 22.5, "uk": 140.0, "eu": 230.0}
        self.late_s = 3600.0
        self.forecasts = True
        self.left: int | None = None

    def answer(self, request: Request) -> Answer:
        if request.path != "/co2eq":
            return said({"detail": "Not Found"}, 404)
        if self.left is not None:
            if self.left == 0:
                return page(429, "Too Many Requests")
            self.left -= 1
        if not {"country"} <= set(request.params) <= {"country", "start", "end"} or request.one("country") is None:
            return said({"detail": [{"loc": ["query"], "msg": "unexpected", "type": "value_error"}]}, 422)
        country = request.one("country") or ""
        if country not in self.grams:
            return page(400, f"'{country}' is not the code for an available country. Please refer to the API doc")
        start_s, end_s = self._span(request)
        starts = list(range(int(start_s // QUARTER_S * QUARTER_S), int(end_s), QUARTER_S))
        seen_until_s = self.now_s - self.late_s
        observed = [self.grams[country] if at_s + QUARTER_S <= seen_until_s else None for at_s in starts]
        foretold = [None if seen is not None or not self.forecasts else self.grams[country] + 10 for seen in observed]
        return said({"unix_seconds": starts, "co2eq": observed, "co2eq_forecast": foretold, "deprecated": False})

    def _span(self, request: Request) -> tuple[float, float]:
        if "start" not in request.params:
            today_s = self.now_s // 86400 * 86400
            return today_s, today_s + 86400
        return _instant_s(request.one("start") or ""), _instant_s(request.one("end") or "")


def _instant_s(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M%z").timestamp()
