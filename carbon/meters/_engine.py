"""Reading an engine's own metrics; what they mean is `carbon/engine.py`'s."""

from __future__ import annotations

from carbon.engine import EngineSignals, engine_signals, signals_of
from carbon.meters._base import Reach, UnreadableError
from carbon.meters._http import page


async def read_engine(reach: Reach, url: str, model: str, timeout_s: float) -> EngineSignals:
    """Of one model on a page, http://HOST:8000/metrics as a rule; all missing where the page tells nothing of it.

    Raises OutOfReachError.
    """
    body = await page(reach, url, timeout_s)
    try:
        return signals_of(engine_signals(body), model)
    except ValueError as error:
        raise UnreadableError("the engine's metrics are not in Prometheus's text format") from error
