"""Azure OpenAI: OpenAI's dialect under Azure's URLs, key header and api-version.

`base_url` is the resource (`https://NAME.openai.azure.com`), `upstream_model` the deployment's name there. Reference:
learn.microsoft.com/azure/ai-foundry/openai/reference (`/openai/deployments/{id}/chat/completions?api-version=…`, header `api-key`).
"""

from __future__ import annotations

from urllib.parse import quote

from adapters._base import Headers, Target
from adapters.openai import PATHS, THOUGHTS, OpenAI

CALL_ID_CHARACTERS = 40
"""As at OpenAI; a resource's host is its own, so no table of hosts could have it."""


class Azure(OpenAI):
    name = "azure"
    apis = frozenset(PATHS) - {"messages", "count_tokens", "moderations", "rerank"}

    def foreign_members(self, target: Target) -> tuple[str, ...]:
        return super().foreign_members(target) or THOUGHTS

    def call_id_characters(self, target: Target) -> int | None:
        return target.quirks.call_id_characters or CALL_ID_CHARACTERS

    def authorize(self, key: str) -> Headers:
        return ((b"api-key", key.encode()),)

    def path(self, api: str, target: Target) -> str:
        version = f"?api-version={quote(target.api_version or '', safe='')}"
        if api == "responses":
            return f"/openai/responses{version}"
        return f"/openai/deployments/{quote(target.upstream_model, safe='')}{PATHS[api]}{version}"


ADAPTER = Azure()
