"""The web API of the Carbon Aware SDK before Electricity Maps; carbon/sources/carbon_aware_sdk.py cites the shapes."""

from __future__ import annotations

from tests.imitations.grids.server import Answer, Request, instant, said

OFFSET = "%Y-%m-%dT%H:%M:%S.0000000+00:00"
PROBLEM = ("content-type", "application/problem+json; charset=utf-8")


def _problem(status: int, title: str, **errors: list[str]) -> Answer:
    return said({"title": title, "status": status, "traceId": "00-1-2-00", "errors": errors}, status, PROBLEM)


class CarbonAwareApi:
    """`behind` gives the provider's own name of each location."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.behind = {"eastus": "US-MIDA-PJM", "swedencentral": "SE", "stockholm": "SE-SE3"}
        self.rating: object = 70.5
        self.duration = "01:00:00"
        self.forecasts = True
        self.empty = False
        self.guard: tuple[str, str] | None = None
        """A header and its value that a proxy before it wants."""

    def answer(self, request: Request) -> Answer:
        if self.guard is not None and request.headers.get(self.guard[0]) != self.guard[1]:
            return said({"message": "no"}, 403)
        if request.path == "/emissions/bylocation":
            return self._emissions(request)
        if request.path == "/emissions/forecasts/current":
            return self._forecast(request)
        return Answer(404, b"", ())

    def _emissions(self, request: Request) -> Answer:
        if not {"location"} <= set(request.params) <= {"location", "time", "toTime"} or len(request.params.get("location", [])) != 1:
            return _problem(400, "One or more validation errors occurred.", location=["The location field is required."])
        location = request.one("location") or ""
        if location not in self.behind:
            return _problem(400, "ArgumentException", location=[f"Unknown Location: '{location}' not found"])
        if self.empty:
            return Answer(204, b"", ())
        hour_s = self.now_s // 3600 * 3600
        points = [self._point(location, hour_s - n * 3600, self.rating if n == 0 else 100) for n in range(24)]
        return said(points)

    def _point(self, location: str, at_s: float, rating: object) -> dict[str, object]:
        return {"location": self.behind[location], "time": instant(at_s, OFFSET), "rating": rating, "duration": self.duration}

    def _forecast(self, request: Request) -> Answer:
        if not {"location"} <= set(request.params) <= {"location", "dataStartAt", "dataEndAt", "windowSize"}:
            return _problem(400, "One or more validation errors occurred.", location=["The location field is required."])
        location = request.one("location") or ""
        if location not in self.behind:
            return _problem(400, "ArgumentException", location=[f"Unknown Location: '{location}' not found"])
        if not self.forecasts:
            return _problem(501, "NotImplementedException")
        hour_s = self.now_s // 3600 * 3600
        points = [
            {"location": self.behind[location], "timestamp": instant(hour_s + n * 3600, OFFSET), "duration": 60, "value": 50.25 + n}
            for n in range(24)
        ]
        ends = {"dataStartAt": points[0]["timestamp"], "dataEndAt": points[-1]["timestamp"], "windowSize": 60}
        told = {"generatedAt": instant(self.now_s, OFFSET), "requestedAt": instant(self.now_s, OFFSET), "location": location, **ends}
        return said([{**told, "optimalDataPoints": points[:1], "forecastData": points}])
