"""Prometheus' instant queries, over a handful of expressions; carbon/sources/prometheus.py cites the format."""

from __future__ import annotations

from tests.imitations.grids.server import Answer, Request, said

Series = list[tuple[dict[str, str], str]]


class PrometheusApi:
    """`vectors` by expression; an expression `scalar(...)` gives the value of the one series within."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.vectors: dict[str, Series] = {}
        self.warnings: list[str] = []
        self.token: str | None = None
        self.slow = False

    def answer(self, request: Request) -> Answer:
        if request.path != "/api/v1/query":
            return Answer(404, b"404 page not found\n", (("content-type", "text/plain; charset=utf-8"),))
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, b"Unauthorized\n", (("content-type", "text/plain; charset=utf-8"),))
        if not {"query"} <= set(request.params) <= {"query", "time", "timeout", "limit"}:
            return self._error(400, "bad_data", 'invalid parameter "query"')
        if self.slow:
            return self._error(503, "timeout", "query timed out in expression evaluation")
        query = request.one("query") or ""
        if query.count('"') % 2:
            return self._error(400, "bad_data", 'invalid parameter "query": 1:8: parse error: unterminated quoted string')
        if query.startswith("scalar(") and query.endswith(")"):
            series = self.vectors.get(query[7:-1], [])
            value = series[0][1] if len(series) == 1 else "NaN"
            return self._success("scalar", [self.now_s, value])
        if query.endswith("[5m]"):
            return self._success("matrix", [{"metric": {}, "values": [[self.now_s, "1"]]}])
        series = self.vectors.get(query, [])
        return self._success("vector", [{"metric": labels, "value": [self.now_s, value]} for labels, value in series])

    def _success(self, kind: str, result: object) -> Answer:
        more = {"warnings": self.warnings} if self.warnings else {}
        return said({"status": "success", "data": {"resultType": kind, "result": result}, **more})

    @staticmethod
    def _error(status: int, kind: str, words: str) -> Answer:
        return said({"status": "error", "errorType": kind, "error": words}, status)
