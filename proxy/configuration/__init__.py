"""The configuration file: reading it, saying what is wrong with it, and what stands in for it where there is none."""

from proxy.configuration.problems import ConfigurationError, Problem
from proxy.configuration.reading import Examination, examine, load, loads, problems_of, version
from proxy.configuration.secret import Secret, SecretError, key_hash, resolve, resolve_key

__all__ = [
    "ConfigurationError",
    "Examination",
    "Problem",
    "Secret",
    "SecretError",
    "examine",
    "key_hash",
    "load",
    "loads",
    "problems_of",
    "resolve",
    "resolve_key",
    "version",
]
