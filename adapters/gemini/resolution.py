"""How closely images are looked at: OpenAI's `detail` as Gemini's media resolution.

Gemini 3 and later take it for each part, Gemini 2 for the whole request; a part's is a 400 there, and any at models that are not Gemini
("Media resolution is not enabled for …", simonw/llm-gemini#116). Reference: https://ai.google.dev/gemini-api/docs/media-resolution
"""

from __future__ import annotations

from typing import Any

from adapters._base import Json
from adapters.gemini.models import Model

_LEVELS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH", "original": "MEDIA_RESOLUTION_HIGH"}
"""`auto` is what is done unasked. ULTRA_HIGH is not for every model."""
_MARK = "mediaResolution"


def marked(part: Json, image: Any) -> Json:
    """The part of an image with the resolution that is asked for it."""
    level = _LEVELS.get(image["detail"]) if isinstance(image, dict) and isinstance(image.get("detail"), str) else None
    return part if level is None else {**part, _MARK: {"level": level}}


def unmarked(part: Json) -> Json:
    return {name: value for name, value in part.items() if name != _MARK}


def settled(contents: list[Json], model: Model) -> tuple[Json, int]:
    """What belongs into the generationConfig, and how many images are looked at as asked.

    Where a model knows no resolution of parts, they lose their marks; one for the whole request is said if all its media are asked alike.
    """
    media = [part for content in contents for part in content["parts"] if "inlineData" in part or "fileData" in part]
    if model.resolution == "part":
        return {}, sum(_MARK in part for part in media)
    levels = [part.pop(_MARK)["level"] for part in media if _MARK in part]
    if model.resolution == "request" and levels and levels == levels[:1] * len(media):
        return {_MARK: levels[0]}, len(media)
    return {}, 0
