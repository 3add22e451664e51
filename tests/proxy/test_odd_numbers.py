"""Numbers that JSON allows and no reader of it makes: a 400 that names the member, or bytes that go through; never a fault of the proxy."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import completion, serving

LONG, LONGER = "1" * 400, "1" * 5000
"""Beyond a float's range; beyond what Python makes an integer of."""
HOST = """
deployments:
  north: {{model: small, base_url: "{url}"}}
  old: {{model: old, base_url: "{url}", quirks: {{developer_role: false}}}}
"""
CHAT = '{"model":"small","messages":[{"role":"user","content":"Hi"}]'
REFUSED = {
    "a cap of 400 digits": (CHAT + f',"greenlane":{{"max_g":{LONG}}}}}', "greenlane.max_g"),
    "a cap of 5000 digits": (CHAT + f',"greenlane":{{"max_usd":{LONGER}}}}}', "greenlane"),
    "a privacy of 5000 digits": (CHAT + f',"greenlane":{{"privacy":{LONGER}}}}}', "greenlane"),
    "a wish of 400 digits": (CHAT + f',"greenlane":{{"prefer":{{"max_g":{LONG}}}}}}}', "greenlane.prefer.max_g"),
    "two models beside one": (CHAT + f',"mod\\u0065l":"small","seed":{LONGER}}}', "model"),
    "options of a stream": (CHAT + f',"stream":true,"stream_options":{{"x":{LONGER}}}}}', "stream_options"),
    "in messages that must be changed": (
        f'{{"model":"old","messages":[{{"role":"developer","content":"Be brief.","weight":{LONGER}}}]}}',
        None,
    ),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: HOST.format(url=url), tmp_path_factory.mktemp("numbers")) as made:
        yield made


def sent(served, body):
    return httpx.post(f"{served.url}/chat/completions", content=body, headers={"content-type": "application/json"}, timeout=60)


@pytest.mark.parametrize("case", REFUSED)
def test_a_number_that_nobody_can_read_is_refused_with_its_member(served, case):
    served.host.requests.clear()
    body, param = REFUSED[case]
    answer = sent(served, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert served.host.requests == []


def test_one_that_nobody_need_read_goes_through(served):
    """With a name in it that is looked for twice."""
    served.host.answer = lambda received, handler: completion(received._replace(body=CHAT.encode() + b"}"), handler)
    served.host.requests.clear()
    assert sent(served, CHAT + f',"seed":{LONGER},"\\u006fther":"{"x" * 20}"   }}').status_code == 200
    assert LONGER.encode() in served.host.requests[0].body
