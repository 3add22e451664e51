"""NESO's Carbon Intensity API: national and regional, now and ahead; carbon/sources/uk_neso.py cites the shapes."""

from __future__ import annotations

import re

from tests.imitations.grids.server import Answer, Request, instant, said

HALF_HOUR_S = 1800
NAMES = {1: "North Scotland", 7: "South Wales", 13: "London", 15: "England", 17: "Wales"}
FORM = "%Y-%m-%dT%H:%MZ"
FROM = r"(\d{4}-\d\d-\d\dT\d\d:\d\dZ)"


def _refused(status: int, code: str, message: str) -> Answer:
    return said({"error": {"code": code, "message": message}}, status)


class NesoApi:
    """`actual` is null where it is not estimated yet; `forecasts` by region, 0 being the country."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.actual: object = 180
        self.forecasts: dict[int, object] = {0: 170, 13: 210, 7: 330, 1: 0}
        self.skew_s = 0.0

    def answer(self, request: Request) -> Answer:
        if request.params:
            return _refused(400, "400 Bad Request", "Please use the path.")
        path = request.path
        if path == "/intensity":
            return said({"data": [self._period(0, self._start_s(), self.actual)]})
        if found := re.fullmatch(r"/regional/regionid/(\d+)", path):
            region = int(found[1])
            if not 1 <= region <= 17:
                return _refused(400, "400 Bad Request", "Please enter a valid regionid.")
            return said({"data": [{**self._head(region), "data": [self._period(region, self._start_s())]}]})
        if found := re.fullmatch(rf"/intensity/{FROM}/fw(24|48)h", path):
            return said({"data": self._ahead(0, int(found[2]))})
        if found := re.fullmatch(rf"/regional/intensity/{FROM}/fw(24|48)h/regionid/(\d+)", path):
            region = int(found[3])
            return said({"data": {**self._head(region), "data": self._ahead(region, int(found[2]))}})
        return _refused(404, "404 Not Found", "The requested resource could not be found.")

    def _start_s(self) -> float:
        return self.now_s // HALF_HOUR_S * HALF_HOUR_S + self.skew_s

    def _ahead(self, region: int, hours: int) -> list[dict[str, object]]:
        """From the half hour before, as theirs begin."""
        first_s = self._start_s() - HALF_HOUR_S
        return [self._period(region, first_s + n * HALF_HOUR_S, None if region == 0 else ...) for n in range(hours * 2 + 1)]

    def _head(self, region: int) -> dict[str, object]:
        name = NAMES.get(region, "Elsewhere")
        return {"regionid": region, "dnoregion": f"DNO {name}", "shortname": name}

    def _period(self, region: int, start_s: float, actual: object = ...) -> dict[str, object]:
        intensity = {"forecast": self.forecasts.get(region, 100), "index": "moderate"}
        if actual is not ...:
            intensity["actual"] = actual
        mix = {} if region == 0 else {"generationmix": [{"fuel": "gas", "perc": 43.6}, {"fuel": "wind", "perc": 56.4}]}
        return {"from": instant(start_s, FORM), "to": instant(start_s + HALF_HOUR_S, FORM), "intensity": intensity, **mix}
