"""A LiteLLM configuration in our terms. What cannot be said here is told, never dropped in silence; secrets are not copied."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from proxy.configuration.document import NUMBER_SINCE_1_2, parse
from proxy.configuration.litellm_providers import COMPLETES, FORWARDS, MODES, PROVIDERS, USUAL_MODES, provider_of
from proxy.configuration.problems import ConfigurationError
from proxy.configuration.vendors import CLOUD

Json = dict[str, Any]
_ENVIRON = "os.environ/"
_RESPONSES = "responses/"
"""Before the model's name: LiteLLM sends it to the Responses API."""
_NO_KEYS = frozenset({"", "empty", "none", "null", "dummy", "fake", "fake-key", "not-needed", "na", "lm-studio", "ollama", "sk-none"})
"""What people write where a server wants no key."""
_PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
_SEARCH = "search_context_cost_per_query"
_KNOWN_PARAMS = frozenset({"model", "api_base", "base_url", "api_key", "api_version", "custom_llm_provider", "organization", "weight"})
_KNOWN_PARAMS |= {"rpm", "tpm", "max_parallel_requests", "timeout", "stream_timeout", "extra_headers", _SEARCH, *_PRICES.values()}
_KNOWN_INFO = frozenset({"id", "mode", "max_tokens", "max_input_tokens", "max_output_tokens", "base_model", _SEARCH, *_PRICES.values()})
_ROUTING = {"latency-based-routing": ("fast", "fastest"), "cost-based-routing": ("cheap", "cheapest")}
_CREDENTIAL = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
"""Names of headers that may carry one."""


class Imported(msgspec.Struct, frozen=True):
    """Our YAML, and what the reader must know."""

    yaml: str
    warnings: list[str]


def import_litellm(text: str, environ: Mapping[str, str]) -> Imported:
    """Our configuration for a LiteLLM one. Addresses given as os.environ/NAME are looked up. Raises ConfigurationError."""
    document = parse(text)
    if document.tree is None or document.problems:
        raise ConfigurationError(document.problems, "LiteLLM configuration")
    return _Import(document.tree if isinstance(document.tree, dict) else {}, environ).result()


class _Import:
    """One file."""

    def __init__(self, source: Json, environ: Mapping[str, str]) -> None:
        self.source, self.environ = source, environ
        self.warnings: list[str] = []
        self.deployments: dict[str, Json] = {}
        self.comments: dict[str, list[str]] = {}
        self.models: dict[str, Json] = {}
        self.rest: Json = {}

    def result(self) -> Imported:
        rows = self.source.get("model_list")
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        if not rows:
            self._warn("there is no model_list: nothing to import")
        names = _names([_public(str(row.get("model_name") or "model")) for row in rows])
        for name, row in zip(names, rows, strict=True):
            self._deployment(name, row)
        self._router()
        self._general()
        for section in self.source:
            if section not in {"model_list", "router_settings", "litellm_settings", "general_settings"}:
                self._warn(f"{section}: is not carried over")
        return Imported(self._written(), self.warnings)

    def _warn(self, message: str) -> None:
        self.warnings.append(message)

    def _settings(self, section: str) -> Json:
        value = self.source.get(section)
        return value if isinstance(value, dict) else {}

    # one deployment

    def _deployment(self, name: str, row: Json) -> None:
        params = row.get("litellm_params")
        params = params if isinstance(params, dict) else {}
        info = row.get("model_info")
        info = info if isinstance(info, dict) else {}
        written, model = params.get("model"), str(row.get("model_name") or "")
        if not isinstance(written, str) or not model:
            self._warn(f"{name}: has no model; left out")
            return
        if "*" in model or "*" in written:
            self._warn(f"{model}: wildcards have no equal here; name each model. Left out")
            return
        address = self._address(name, params)
        provider_name, upstream = provider_of(written, params.get("custom_llm_provider"), has_address=address is not None)
        provider = PROVIDERS.get(provider_name)
        if provider is None:
            self._warn(f"{name}: the provider {provider_name} is not supported; left out")
            return
        if address is None and provider.base_url is None:
            address = "https://set-the-address.invalid/v1"
            self._warn(f"{name}: has no api_base; set base_url")
        elif address is not None and provider.suffix and not address.endswith(provider.suffix):
            address += provider.suffix
        base_url = address or str(provider.base_url)
        result: Json = {"model": _public(model), "dialect": provider.dialect, "upstream_model": upstream, "base_url": base_url}
        if provider.dialect == "openai":
            del result["dialect"]
        if upstream.startswith(_RESPONSES):
            result |= {"upstream_model": upstream.removeprefix(_RESPONSES), "apis": ["responses"]}
            self._warn(f"{name}: serves /v1/responses alone; chat completions are not made into responses here")
        elif provider_name in COMPLETES:
            result["apis"] = ["completions"]
        self._key(name, params, provider.key, result)
        if provider.dialect == "azure":
            self._version(name, params, result)
        if _is_loopback(base_url) and provider_name not in FORWARDS and CLOUD.fullmatch(upstream) is None:
            result["privacy"] = "local"
        self._figures(name, params, info, result)
        self._leftover(name, params, info)
        self.deployments[name] = result

    def _address(self, name: str, params: Json) -> str | None:
        given = params.get("api_base") or params.get("base_url")
        if not isinstance(given, str) or not given:
            return None
        if given.startswith(_ENVIRON):
            variable = given.removeprefix(_ENVIRON)
            given = self.environ.get(variable, "")
            if not given:
                self._warn(f"{name}: its address is in {variable}, which is not set here; set base_url")
                host = _variable(variable).lower().replace("_", "-").strip("-") or "address"
                return f"https://{host[:60].rstrip('-')}.invalid/v1"
        parts = urlsplit(given)
        if parts.query or "@" in parts.netloc:
            self._warn(f"{name}: credentials and query of api_base are left out")
        host = parts.netloc.rpartition("@")[2]
        path = re.sub(r"/(chat/)?completions$", "", parts.path.rstrip("/"))
        return f"{parts.scheme or 'http'}://{host}{path}"

    def _key(self, name: str, params: Json, usual: str | None, result: Json) -> None:
        given = params.get("api_key")
        if isinstance(given, str) and given.startswith(_ENVIRON):
            result["api_key"] = f"env:{_variable(given.removeprefix(_ENVIRON))}"
        elif given is not None and str(given).lower() not in _NO_KEYS:
            variable = f"{_variable(name).upper()}_API_KEY"
            result["api_key"] = f"env:{variable}"
            self._warn(f"{name}: the key in the file is not copied; put it into {variable}")
        elif given is None and usual is not None:
            result["api_key"] = f"env:{usual}"

    def _version(self, name: str, params: Json, result: Json) -> None:
        given = params.get("api_version")
        if isinstance(given, str) and given.startswith(_ENVIRON):
            given = self.environ.get(given.removeprefix(_ENVIRON))
        if not given:
            self._warn(f"{name}: has no api_version; 2024-10-21 is written")
        result["api_version"] = str(given or "2024-10-21")

    def _figures(self, name: str, params: Json, info: Json, result: Json) -> None:
        both = info | params
        amounts = {ours: _amount(both.get(theirs)) for ours, theirs in _PRICES.items()}
        prices = {ours: _rounded(usd * 1e6) for ours, usd in amounts.items() if usd is not None}
        if "input" in prices:
            result["usd_per_mtok"] = prices
        elif prices:
            self._warn(f"{name}: has prices, but none for input; left out")
        found = both.get(_SEARCH)
        search = _amount(found.get("search_context_size_medium") if isinstance(found, dict) else found)
        if search is not None:
            result["usd_per_search"] = search
        for ours, theirs in (("context_tokens", info.get("max_input_tokens")), ("max_output_tokens", info.get("max_output_tokens"))):
            if _is_whole(theirs):
                result[ours] = theirs
        figures = {
            key: params[key] for key in ("max_parallel_requests", "weight", "timeout", "stream_timeout") if params.get(key) is not None
        }
        read = {key: found for key, value in figures.items() if (found := _amount(value))}
        if "max_parallel_requests" in read:
            result["concurrency"] = max(1, int(read["max_parallel_requests"]))
        if "weight" in read:
            result["weight"] = read["weight"]
        timeouts = {ours: read[theirs] for ours, theirs in (("total_s", "timeout"), ("first_byte_s", "stream_timeout")) if theirs in read}
        if timeouts:
            result["timeouts"] = timeouts
        unread = [key for key in figures if key not in read]
        mode = info.get("mode")
        if isinstance(mode, str) and mode in MODES:
            result["apis"] = list(MODES[mode])
        elif mode is not None and mode not in USUAL_MODES:
            unread.append("model_info.mode")
        if unread:
            self._warn(f"{name}: cannot be read here: {', '.join(unread)}")
        self._headers(name, params, result)
        self.comments[name] = [
            f"{limit}: {params[limit]} (no equal: see concurrency)" for limit in ("rpm", "tpm") if params.get(limit) is not None
        ]

    def _headers(self, name: str, params: Json, result: Json) -> None:
        given = params.get("extra_headers")
        headers = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
        if isinstance(params.get("organization"), str):
            headers["openai-organization"] = params["organization"]
        for key, value in headers.items():
            secret = _CREDENTIAL.search(key) is not None or not isinstance(value, str) or value.startswith(_ENVIRON)
            if secret or not value.isascii() or not value.isprintable() or not value.strip():
                self._warn(f"{name}: the header {key} is left out")
            else:
                result.setdefault("headers", {})[key] = value.strip()

    def _leftover(self, name: str, params: Json, info: Json) -> None:
        left = [key for key in params if key not in _KNOWN_PARAMS] + [f"model_info.{key}" for key in info if key not in _KNOWN_INFO]
        if left:
            self._warn(f"{name}: not carried over: {', '.join(left)}")

    # what stands beside the list

    def _router(self) -> None:
        router, general = self._settings("router_settings"), self._settings("litellm_settings")
        served = {deployment["model"] for deployment in self.deployments.values()}
        aliases = router.get("model_group_alias")
        for alias, value in (aliases if isinstance(aliases, dict) else {}).items():
            target = value.get("model") if isinstance(value, dict) else value
            if target in served and _public(alias) not in served:
                self.models[_public(alias)] = {"substitutes": [target]}
            else:
                self._warn(f"model_group_alias {alias}: is not carried over")
        for settings in (router, general):
            self._fallbacks(settings.get("fallbacks"), served)
        strategy = router.get("routing_strategy")
        if strategy in _ROUTING:
            name, objective = _ROUTING[strategy]
            self.rest |= {"policy": name, "policies": {name: {"objective": objective}}}
        known = {"router_settings": {"model_group_alias", "fallbacks", "routing_strategy"}, "litellm_settings": {"fallbacks"}}
        for section, names in known.items():
            left = [key for key in self._settings(section) if key not in names]
            if left:
                self._warn(f"{section}: not carried over: {', '.join(left)}")
        if strategy is not None and strategy not in _ROUTING and strategy != "least-busy":
            self._warn(f"routing_strategy {strategy}: the least loaded deployment is taken instead")

    def _fallbacks(self, fallbacks: Any, served: set[str]) -> None:
        for entry in fallbacks if isinstance(fallbacks, list) else []:
            for model, others in entry.items() if isinstance(entry, dict) else []:
                usable = (
                    [other for other in others if isinstance(other, str) and other in served and other != model]
                    if isinstance(others, list)
                    else []
                )
                if isinstance(others, list) and len(usable) < len(others):
                    self._warn(f"fallbacks of {model}: some are not models of this file; left out")
                if model not in served:
                    self._warn(f"fallbacks of {model}: it is not a model of this file; left out")
                elif usable:
                    self.models.setdefault(model, {})["substitutes"] = list(dict.fromkeys(usable))

    def _general(self) -> None:
        general = self._settings("general_settings")
        given = general.get("master_key")
        if given is not None:
            variable = "LITELLM_MASTER_KEY"
            if isinstance(given, str) and given.startswith(_ENVIRON):
                variable = _variable(given.removeprefix(_ENVIRON))
            else:
                self._warn(f"general_settings.master_key: is not copied; put it into {variable}")
            self.rest |= {"teams": {"admin": {}}, "keys": {"master": {"team": "admin", "key": f"env:{variable}", "explain": True}}}
        left = [key for key in general if key != "master_key"]
        if left:
            self._warn(f"general_settings: not carried over: {', '.join(left)}")

    # the text

    def _written(self) -> str:
        parts = ["# Imported from a LiteLLM configuration. `greenlane config check` tells what is left to do.\n"]
        parts += [f"# - {_one_line(warning)}\n" for warning in self.warnings]
        if self.models:
            parts.append(_dumped({"models": self.models}))
        parts.append("deployments:\n" if self.deployments else "deployments: {}\n")
        for name, deployment in self.deployments.items():
            parts += [f"  # {_one_line(comment)}\n" for comment in self.comments.get(name, [])]
            parts.append("".join(f"  {line}\n" for line in _dumped({name: deployment}).splitlines()))
        if self.rest:
            parts.append(_dumped(self.rest))
        return "".join(parts)


class _Dumper(yaml.SafeDumper):
    """Writes what `document` reads."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # a word that YAML 1.2 takes for a number and PyYAML's 1.1 does not, such as 1e3
    quoted = NUMBER_SINCE_1_2.fullmatch(text) is not None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _text)


def _dumped(value: Json) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _names(models: list[str]) -> list[str]:
    """A name for each deployment: the model's, numbered where it has several."""
    names: list[str] = []
    for model in models:
        base = model[:90]
        name = base if models.count(model) == 1 else f"{base}-1"
        number = 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names.append(name)
    return names


def _public(name: str) -> str:
    """A name we allow: printable ASCII without spaces and commas."""
    return re.sub(r"[^!-+\--~]+", "-", name)[:100] or "model"


def _variable(name: str) -> str:
    """The name itself where it can be a variable's, else the nearest that can."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return f"KEY_{variable}" if not variable or variable[0].isdigit() else variable


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}


def _amount(value: Any) -> float | None:
    """A price, also where it is written as text: `1e-6` is text in YAML 1.1, and LiteLLM takes it for the number."""
    try:
        found = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return found if _is_amount(found) and found < math.inf else None


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _rounded(usd: float) -> float:
    """Dollars a million tokens without the noise of the multiplication."""
    return float(f"{usd:.10g}")
