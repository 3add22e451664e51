"""Google's errors: https://ai.google.dev/gemini-api/docs/troubleshooting, https://google.aip.dev/193."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters._base import Fault
from adapters.gemini.faults import fault_of


def error(code, status, message="m", details=None):
    told = {"code": code, "message": message, "status": status}
    return {"error": told if details is None else {**told, "details": details}}


BAD = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "generation_config.top_k", "description": "d"}]}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"}
KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (
            400,
            error(400, "INVALID_ARGUMENT", "Unknown name.", [BAD]),
            Fault(message="Unknown name.", type="invalid_request_error", param="generation_config.top_k", status=400),
        ),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", "Quota.", [{"@type": "x"}, RETRY]),
            Fault(message="Quota.", type="rate_limit_error", code="rate_limit_exceeded", status=429, retry_after_s=37.5),
        ),
        (503, [error(503, "UNAVAILABLE", "Busy.")], Fault(message="Busy.", type="overloaded_error", code="unavailable", status=503)),
        (
            400,
            error(400, "INVALID_ARGUMENT", "API key not valid.", [KEY]),
            Fault(message="API key not valid.", type="authentication_error", code="invalid_api_key", status=401),
        ),
        (
            403,
            error(403, "PERMISSION_DENIED", "Consumer 'api_key:AIzaSy0123456789abcdef' has been suspended."),
            Fault(message="Consumer '[key] has been suspended.", type="permission_error", code="forbidden", status=403),
        ),
        (404, error(404, "NOT_FOUND"), Fault(message="m", type="invalid_request_error", code="model_not_found", status=404)),
        (
            400,
            error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
            Fault(
                message="The input token count (9) exceeds the maximum number of tokens allowed (8).",
                type="invalid_request_error",
                code="context_length_exceeded",
                status=400,
            ),
        ),
        (500, error(500, "INTERNAL"), Fault(message="m", status=500)),
        (400, error(503, "UNAVAILABLE"), Fault(message="m", type="invalid_request_error", status=400)),
        (200, error(None, "DEADLINE_EXCEEDED"), Fault(message="m", type="timeout_error", code="deadline_exceeded", status=504)),
    ],
)
def test_an_error_is_told_in_openais_terms(status, body, fault):
    assert fault_of(status, json.dumps(body).encode()) == fault


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'{"error":"x"}', b'{"error":{"details":{}}}', b"\xff", b"[" * 5000])
def test_an_unreadable_body_is_told_by_its_status(body):
    assert fault_of(502, body) == Fault(message="The upstream answered with status 502.", status=502)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "code", "message", "status", "details", "@type", "retryDelay", "fieldViolations", "field", "reason"]
                ),
                inner,
            )
        ),
    )
)
def test_no_body_makes_it_fail(body):
    fault_of(400, json.dumps(body).encode())


def test_a_reason_that_is_no_text_is_not_about_our_key():
    assert fault_of(400, b'{"error": {"code": 400, "message": "No.", "details": [{"reason": []}]}}').status == 400
