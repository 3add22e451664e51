"""Secrets come out on request only."""

from __future__ import annotations

import hashlib
import pickle

import pytest

from proxy.configuration import Secret, SecretError, key_hash, resolve, resolve_key


def test_a_secret_does_not_show_itself():
    secret = Secret("sk-live")
    assert secret.reveal() == "sk-live"
    assert "sk-live" not in f"{secret} {secret!r} {[secret]} %s" % secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret == Secret("sk-live") != Secret("sk-other")
    assert len({secret, Secret("sk-live")}) == 1


def test_variables_and_files_are_read(tmp_path):
    file = tmp_path / "key"
    for content in ("sk-1", "sk-1\n", "sk-1\r\n"):
        file.write_bytes(content.encode())
        assert resolve(f"file:{file}", {}) == Secret("sk-1")
    assert resolve("env:K", {"K": "sk-2"}) == Secret("sk-2")


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ("env:UNSET", "UNSET is not set"),
        ("env:EMPTY", "EMPTY is empty"),
        ("env:LINES", "one line"),
        ("env:WIDE", "one line"),
        ("env:", "env:NAME"),
        ("file:", "env:NAME"),
        ("file:/nowhere/at/all", "No such file"),
        ("sk-pasted", "env:NAME"),
    ],
)
def test_what_is_not_there_is_told_without_telling_anything_else(reference, word):
    with pytest.raises(SecretError, match=word) as caught:
        resolve(reference, {"EMPTY": "", "LINES": "sk-1\nsk-9", "WIDE": "sk-\u00e9"})
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\n\n"])
def test_a_file_that_holds_no_key_is_refused(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(SecretError):
        resolve(f"file:{file}", {})


def test_clients_keys_are_hashes_however_they_are_given(tmp_path):
    digest = hashlib.sha256(b"sk-client").hexdigest()
    file = tmp_path / "key"
    file.write_text("sk-client\n")
    references = (f"sha256:{digest}", "env:K", f"file:{file}")
    assert {resolve_key(reference, {"K": "sk-client"}) for reference in references} == {digest} == {key_hash("sk-client")}
