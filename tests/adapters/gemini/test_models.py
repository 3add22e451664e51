"""What a model's name tells: https://ai.google.dev/gemini-api/docs/models."""

import pytest

from adapters.gemini.models import model_of


@pytest.mark.parametrize(
    ("name", "generation", "kind", "thinks"),
    [
        ("gemini-2.5-pro", (2, 5), "pro", True),
        ("models/gemini-2.5-flash-lite-preview-06-17", (2, 5), "flash-lite", True),
        ("gemini-2.5-flash-image", (2, 5), "flash", False),
        ("gemini-2.5-flash-preview-tts", (2, 5), "flash", False),
        ("gemini-2.0-flash", (2, 0), "flash", False),
        ("gemini-1.5-pro-002", (1, 5), "pro", False),
        ("gemini-3-pro-preview", (3, 0), "pro", True),
        ("gemini-3-pro-image-preview", (3, 0), "pro", True),
        ("gemini-3.8-flash", (3, 8), "flash", True),
        ("Gemini-4-ultra", (4, 0), "other", True),
        ("gemini-flash-lite-latest", (3, 99), "flash-lite", True),
        ("gemma-3-27b-it", (0, 0), "other", False),
        ("", (0, 0), "other", False),
    ],
)
def test_a_name_tells_generation_and_kind(name, generation, kind, thinks):
    model = model_of(name)
    assert (model.generation, model.kind, model.thinks) == (generation, kind, thinks)
    assert (model.levels, model.signed) == (generation >= (3, 0), generation >= (3, 0))
