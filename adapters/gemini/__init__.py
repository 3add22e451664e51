"""Google's Gemini API outbound: generateContent, its stream, and embeddings.

References: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings. Vertex AI is not this dialect.
"""

from __future__ import annotations

from adapters.gemini.adapter import ADAPTER, Gemini
from adapters.gemini.embeddings import embeddings_outbound, embeddings_reply

__all__ = ["ADAPTER", "Gemini", "embeddings_outbound", "embeddings_reply"]
