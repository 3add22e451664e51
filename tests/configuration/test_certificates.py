"""Certificates that a configuration names: what is wrong with a file is told where the file is named, and never by a traceback."""

from __future__ import annotations

import subprocess

import pytest

from proxy.configuration import ConfigurationError, examine, load
from tests.imitations.fault_server import certificate

SERVER = "server: {{tls_certificate_file: '{0}', tls_key_file: '{1}'}}\n"
PLACE = "deployments: {a: {model: m, base_url: 'https://h/v1'}}\n"
TRUSTS = "deployments: {{a: {{model: m, base_url: 'https://h/v1', tls: {{ca_file: '{0}'}}}}}}\n"


def told(text):
    return [(problem.path, problem.message) for problem in examine(text, {}).problems]


def test_good_ones_are_good():
    pem, key = certificate()
    assert told(SERVER.format(pem, key) + TRUSTS.format(pem)) == []


def test_a_file_that_is_not_there_is_named():
    assert told(SERVER.format("/none/c.pem", "/none/k.pem") + TRUSTS.format("/none/ca.pem")) == [
        ("server.tls_certificate_file", "/none/c.pem cannot be read: No such file or directory"),
        ("server.tls_key_file", "/none/k.pem cannot be read: No such file or directory"),
        ("deployments.a.tls.ca_file", "/none/ca.pem cannot be read: No such file or directory"),
    ]


def test_what_is_no_certificate_is_told(tmp_path):
    (tmp_path / "text").write_text("no PEM\n")
    found = told(SERVER.format(tmp_path / "text", tmp_path / "text") + TRUSTS.format(tmp_path / "text"))
    assert [path for path, _ in found] == ["server.tls_certificate_file", "deployments.a.tls.ca_file"]
    assert all("PEM" in message for _, message in found)


def test_a_key_of_another_certificate_or_under_a_password_is_told(tmp_path):
    other, locked = tmp_path / "other.pem", tmp_path / "locked.pem"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(other)], check=True, capture_output=True)
    locking = ["openssl", "ec", "-in", str(certificate()[1]), "-aes128", "-passout", "pass:hidden-word", "-out", str(locked)]
    subprocess.run(locking, check=True, capture_output=True)
    assert told(SERVER.format(certificate()[0], other) + PLACE)[0][1].endswith("does not belong to the key")
    assert told(SERVER.format(certificate()[0], locked) + PLACE)[0][1].endswith("not PEM without a password")


def test_they_are_looked_for_where_secrets_are(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text(TRUSTS.format("/none/ca.pem"))
    with pytest.raises(ConfigurationError, match=r"f\.yaml:1: deployments\.a\.tls\.ca_file"):
        load(file, {})
    lenient = examine(file.read_text(), {}, missing_is_error=False)
    assert lenient.config is not None
    assert lenient.problems[0].warning
    assert examine(file.read_text()).problems == []
