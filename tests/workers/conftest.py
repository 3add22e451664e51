"""The fixtures of the workers: an entry, and a fresh SQLite URL."""

from tests.store.entries import entry_with, sqlite_url

__all__ = ["entry_with", "sqlite_url"]
