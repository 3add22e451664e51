"""How HTTP/1.1 answers are read, in memory: each is fed whole, byte by byte, and cut in two at every place."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.upstream._base import Lane, Request
from proxy.upstream.chunks import LONGEST
from proxy.upstream.connection import Connection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.http1 import Http1Upstream
from tests.imitations.fault_server import Transcript, chunked, response

POST = Request(b"POST", b"/", (), b"{}")
HEAD = Request(b"HEAD", b"/", (), b"")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END, EOF = ("end",), "EOF"
GARBLED, RESET = ("error", "garbled"), ("error", "reset")
OK = ("response", 200, [(b"content-length", b"2")])
OK_CHUNKED = ("response", 200, [(b"transfer-encoding", b"chunked")])
BARE = ("response", 200, [])


class Memory(asyncio.Transport):
    """Keeps what is written; is closed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self.paused = False

    def write(self, data):
        self.written.append(bytes(data))

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return 0

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


def played(pieces, request=POST, before=()):
    """What a receiver is told of the pieces, and whether the connection was kept. `before`: answers on it, each a read or more."""

    async def main():
        upstream = Http1Upstream(Endpoint("http", "127.0.0.1", 9))
        connection, transport = Connection(upstream.pool, None), Memory()
        connection.connection_made(transport)
        upstream.pool.put(connection)
        for answer in before:
            upstream.send(POST, Transcript())
            for piece in [answer] if isinstance(answer, bytes) else answer:
                connection.data_received(piece)
        transcript = Transcript()
        upstream.send(request, transcript).retried = True
        for piece in pieces:
            if piece == EOF:
                transport.closed = True
                connection.connection_lost(None)
            elif piece and not transport.closed:
                connection.data_received(piece)
        kept = not transport.closed
        assert upstream.pool.idle == ([connection] if kept and transcript.over.is_set() else [])
        assert upstream.inflight == (0 if transcript.over.is_set() else 1)
        upstream.close()
        return transcript.said, kept

    return asyncio.run(main())


def received(pieces, kind=Transcript, lane=None):
    async def main():
        upstream = Http1Upstream(Endpoint("http", "127.0.0.1", 9))
        connection = Connection(upstream.pool, None)
        connection.connection_made(Memory())
        upstream.pool.put(connection)
        transcript = kind()
        upstream.send(POST, transcript).lane = lane
        for piece in pieces:
            connection.data_received(piece)
        upstream.close()
        return transcript

    return asyncio.run(main())


KEPT = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", [OK, ("data", b"ok"), END]),
    "a length of nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [("response", 200, [(b"content-length", b"0")]), END]),
    "chunks": (CHUNKED + chunked(b"he", b"llo"), [OK_CHUNKED, ("data", b"hello"), END]),
    "chunks of nothing": (CHUNKED + chunked(), [OK_CHUNKED, END]),
    "chunks with extensions": (CHUNKED + b"2;a=b\r\nok\r\n0\r\n\r\n", [OK_CHUNKED, ("data", b"ok"), END]),
    "no reason phrase": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", [OK, ("data", b"ok"), END]),
    "white space around a value": (b"HTTP/1.1 200 OK\r\nContent-Length:  2  \r\n\r\nok", [OK, ("data", b"ok"), END]),
    "204 with a length": (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", [("response", 204, [(b"content-length", b"2")]), END]),
    "304 with a length": (b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n", [("response", 304, [(b"content-length", b"2")]), END]),
    "interim responses": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + response(b"ok"),
        [OK, ("data", b"ok"), END],
    ),
    "HTTP/1.0 that keeps alive": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        [("response", 200, [(b"connection", b"keep-alive"), (b"content-length", b"2")]), ("data", b"ok"), END],
    ),
    "repeated headers": (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nX:\r\nContent-Length: 0\r\n\r\n",
        [("response", 200, [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"x", b""), (b"content-length", b"0")]), END],
    ),
}

CLOSED = {
    "connection: close": (
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
        [("response", 200, [(b"connection", b"close"), (b"content-length", b"2")]), ("data", b"ok"), END],
    ),
    "HTTP/1.0": ([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"], [OK, ("data", b"ok"), END]),
    "a body that ends with the connection": ([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", EOF], [BARE, ("data", b"hello"), END]),
    "no body, and the connection ends": ([b"HTTP/1.1 200 OK\r\n\r\n", EOF], [BARE, END]),
    "the end within a length": ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", EOF],
                                [("response", 200, [(b"content-length", b"3")]), ("data", b"ok"), RESET]),
    "the end within a closing length": ([b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok", EOF],
                                        [("response", 200, [(b"content-length", b"3")]), ("data", b"ok"), RESET]),
    "the end within a chunk": ([CHUNKED + b"3\r\nok", EOF], [OK_CHUNKED, ("data", b"ok"), RESET]),
    "the end between chunks": ([CHUNKED + b"2\r\nok\r\n", EOF], [OK_CHUNKED, ("data", b"ok"), RESET]),
    "the end before the last line": ([CHUNKED + b"2\r\nok\r\n0\r\n", EOF], [OK_CHUNKED, ("data", b"ok"), RESET]),
    "the end within the head": ([b"HTTP/1.1 200 OK\r\nContent-Le", EOF], [RESET]),
    "the end after an interim response": ([b"HTTP/1.1 100 Continue\r\n\r\n", EOF], [RESET]),
    "not HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n"], [GARBLED]),
    "RTSP": ([b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "HTTP/0.9": ([b"<html>hello</html>"], [GARBLED]),
    "HTTP/3.0": ([b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "a status of two digits": ([b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "status 000": ([b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "status 600": ([b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "a status with a sign": ([b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"], [GARBLED]),
    "an upgrade": ([b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"], [GARBLED]),
    "an upgrade without its headers": ([b"HTTP/1.1 101 S\r\n\r\nabc"], [GARBLED]),
    "length and chunks": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], [GARBLED]),
    "chunks and length": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"], [GARBLED]),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], [GARBLED]),
    "a negative length": ([b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"], [GARBLED]),
    "a length of letters": ([b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok"], [GARBLED]),
    "an endless length": ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"], [GARBLED]),
    "a folded header": ([b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"], [GARBLED]),
    "a space before the colon": ([b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"], [GARBLED]),
    "a NUL in a header": ([b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"], [GARBLED]),
    "a bare CR in a header": ([b"HTTP/1.1 200 OK\r\nX: a\rX-Evil: b\r\n\r\n"], [GARBLED]),
    "lines that end with LF alone": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], [GARBLED]),
    "an empty line before the head": ([b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], [GARBLED]),
    "a chunk size of letters": ([CHUNKED + b"zz\r\nok\r\n"], [OK_CHUNKED, GARBLED]),
    "a negative chunk size": ([CHUNKED + b"-2\r\nok\r\n"], [OK_CHUNKED, GARBLED]),
    "an endless chunk size": ([CHUNKED + b"fffffffffffffffff\r\nok\r\n"], [OK_CHUNKED, GARBLED]),
    "a chunk longer than its size": ([CHUNKED + b"2\r\nokay\r\n0\r\n\r\n"], [OK_CHUNKED, ("data", b"ok"), GARBLED]),
}  # fmt: skip


def cuts(data: bytes) -> list[list[bytes]]:
    return [[data], [data[at : at + 1] for at in range(len(data))], *([data[:at], data[at:]] for at in range(1, len(data)))]


@pytest.mark.parametrize(("answer", "expected"), KEPT.values(), ids=KEPT)
def test_an_answer_that_ends_by_its_own_framing_leaves_the_connection_usable(answer, expected):
    for pieces in cuts(answer):
        assert played(pieces) == (expected, True), pieces


@pytest.mark.parametrize(("pieces", "expected"), CLOSED.values(), ids=CLOSED)
def test_any_other_answer_closes_the_connection(pieces, expected):
    assert played(pieces) == (expected, False)


BEFORE = response(b"what was answered before")


@pytest.mark.parametrize(("answer", "expected"), KEPT.values(), ids=KEPT)
def test_an_answer_after_others_with_its_head_is_read_the_same(answer, expected):
    for before in ([answer], [answer, answer], [BEFORE], [BEFORE, answer], [answer, BEFORE]):
        for pieces in cuts(answer)[:8]:
            assert played(pieces, before=before) == (expected, True), (before, pieces)


@pytest.mark.parametrize(("pieces", "expected"), CLOSED.values(), ids=CLOSED)
def test_after_a_good_answer_any_other_closes_the_connection_too(pieces, expected):
    assert played(pieces, before=[BEFORE]) == (expected, False)


@example([b"\n"], b"\n")
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.binary(min_size=1, max_size=20))
def test_each_of_several_answers_with_one_head_has_its_own_body_and_length(bodies, leftover):
    head = b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: %d\r\nContent-Type: b\r\n\r\n"
    answers = [head % len(body) + body for body in bodies]
    fields = [(b"server", b"a"), (b"content-length", b"%d" % len(bodies[-1])), (b"content-type", b"b")]
    data = [("data", bodies[-1])] if bodies[-1] else []
    expected = [("response", 200, fields), *data, END]
    assert played(answers[-1:], before=answers) == (expected, True)
    assert played([answers[-1] + leftover], before=answers) == (expected, False)


def test_a_head_like_one_before_but_for_one_byte_is_another():
    for other in (
        BEFORE.replace(b"200 OK", b"500 OK"),
        BEFORE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        BEFORE.replace(b"\r\n\r\n", b"\r\nA: b\r\n\r\n"),
    ):
        assert played([other], before=[BEFORE]) == played([other])


@pytest.mark.parametrize(("pieces", "expected"), CLOSED.values(), ids=CLOSED)
def test_byte_by_byte_it_reads_the_same(pieces, expected):
    single = [bytes([byte]) for piece in pieces if piece != EOF for byte in piece] + [EOF] * (EOF in pieces)
    said, kept = played(single)
    assert (said, kept) == (expected, False)


@pytest.mark.parametrize(
    "leftover",
    [b"\r\n", b"\n", b"x", b"H", b"HTTP/1.1 200", b"ok", response(b"not yours"), b"0\r\n\r\n", b"\0" * 100_000],
    ids=lambda leftover: repr(leftover[:20]),
)
@pytest.mark.parametrize("answer", [response(b"ok"), CHUNKED + chunked(b"ok"), response(b"", 204), response(b"HTTP/1.1 200")])
def test_bytes_after_the_end_close_the_connection_and_reach_nobody(answer, leftover):
    whole, _ = played([answer])
    assert played([answer + leftover]) == (whole, False)
    assert played([answer + leftover], before=[answer]) == (whole, False)
    assert played([answer, leftover]) == (whole, False)
    if leftover != b"\n":
        assert played([answer + leftover[:1], leftover[1:]]) == (whole, False)


def test_a_head_request_has_no_body_whatever_the_head_describes():
    for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", CHUNKED):
        said, kept = played([answer], HEAD)
        assert ([event[0] for event in said], kept) == (["response", "end"], False)


def filler(lines: int, length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (at, b"y" * length) for at in range(lines))


@pytest.mark.parametrize("size", [1 << 10, 16 << 10, 1 << 20])
def test_a_head_without_end_is_given_up_at_64_kib(size):
    endless = filler(1, 200_000)
    assert played([endless[at : at + size] for at in range(0, len(endless), size)]) == ([GARBLED], False)
    assert played([filler(1, 70_000) + b"content-length: 0\r\n\r\n"]) == ([GARBLED], False)
    interims = b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" * 3_000
    assert played([interims[at : at + size] for at in range(0, len(interims), size)])[0] == [GARBLED]


def test_a_head_has_at_most_200_lines():
    assert played([filler(199, 1) + b"content-length: 0\r\n\r\n"])[1] is True
    assert played([filler(200, 1) + b"content-length: 0\r\n\r\n"]) == ([GARBLED], False)


def test_a_large_body_that_comes_with_its_head_is_no_large_head():
    assert played([response(b"x" * 200_000)])[0][1] == ("data", b"x" * 200_000)


@pytest.mark.parametrize("endless", [b"2;" + b"x" * 200_000, b"0\r\n" + b"X-T: v\r\n" * 20_000], ids=["extension", "trailers"])
def test_framing_without_end_is_given_up_at_64_kib(endless):
    assert played([CHUNKED, *(endless[at : at + 8192] for at in range(0, len(endless), 8192))]) == ([OK_CHUNKED, GARBLED], False)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), st.data())
def test_a_chunked_body_is_the_same_bytes_wherever_it_is_cut(bodies, data):
    answer = CHUNKED + chunked(*bodies)
    at = sorted(data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=8, unique=True)))
    pieces = [answer[start:stop] for start, stop in zip([0, *at], [*at, len(answer)], strict=True)]
    assert played(pieces) == ([OK_CHUNKED, ("data", b"".join(bodies)), END], True)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_it_fail_otherwise_than_by_an_error(rubbish):
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED):
        said, _ = played([prefix + rubbish, EOF])
        assert said[-1][0] in {"end", "error"}


def test_trailers_are_not_passed_on():
    for pieces in cuts(CHUNKED + b"2\r\nok\r\n0\r\nX-T: v\r\n\r\n"):
        assert played(pieces)[0] == [OK_CHUNKED, ("data", b"ok"), END]


def test_trailers_are_no_headers_of_the_next_answer():
    """They came for another client's request: in a read of their own, which leaves the connection clean."""
    before = [CHUNKED + b"2\r\nok\r\n", b"0\r\nX-RateLimit-Of: another\r\n\r\n"]
    assert played([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], before=[before]) == ([OK, ("data", b"ok"), END], True)


def test_chunks_of_one_read_come_as_one():
    assert received([CHUNKED + chunked(b"a", b"b", b"c")]).events == [OK_CHUNKED, ("data", b"abc"), END]


def test_a_small_body_travels_with_its_head_and_a_large_one_after_it():
    async def written(body: bytes, method: bytes = b"POST") -> list[bytes]:
        upstream = Http1Upstream(Endpoint("http", "a.example", 80))
        connection, transport = Connection(upstream.pool, None), Memory()
        connection.connection_made(transport)
        upstream.pool.put(connection)
        upstream.send(Request(method, b"/p", ((b"a", b"b"),), body), Transcript()).abort()
        return transport.written

    line = b" /p HTTP/1.1\r\nhost: a.example\r\naccept-encoding: identity\r\na: b\r\n"
    assert asyncio.run(written(b"{}")) == [b"POST" + line + b"content-length: 2\r\n\r\n{}"]
    assert asyncio.run(written(b"")) == [b"POST" + line + b"content-length: 0\r\n\r\n"]
    assert asyncio.run(written(b"", b"GET")) == [b"GET" + line + b"\r\n"]
    large = b"x" * 100_000
    assert asyncio.run(written(large)) == [b"POST" + line + b"content-length: 100000\r\n\r\n", large]


EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'


class Chunks(Transcript):
    """Counts what came as chunks, which a receiver may pass on as they are."""

    whole = 0

    def on_chunk(self, chunk, start):
        self.whole += 1
        super().on_chunk(chunk, start)


def sized(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [1, 10, 15, 16, 17, 255, 256, 257, 1000, 2034, 2035, 2036, 2040, 2041, 2042, 4096])
def test_reads_of_one_chunk_each_are_told_as_chunks(size):
    data = (EVENT * (size // len(EVENT) + 1))[:size]
    seen = received([CHUNKED + sized(EVENT), *[sized(data)] * 3, b"0\r\n\r\n"], Chunks)
    assert seen.said == [OK_CHUNKED, ("data", EVENT + data * 3), END]
    assert seen.whole == (3 if len(sized(data)) < LONGEST else 0)


ODD = {
    "a size with a leading zero": b"032\r\n" + EVENT + b"\r\n",
    "an extension": b"32;a=b\r\n" + EVENT + b"\r\n",
    "two chunks": sized(EVENT) * 2,
    "a chunk and half a head": sized(EVENT) + b"3",
    "a chunk without its end": sized(EVENT)[:-2],
    "a chunk whose last byte is missing": sized(EVENT)[:-1],
    "half a chunk": sized(EVENT)[:20],
    "a size that is too small": b"31\r\n" + EVENT + b"\r\n",
    "a size that is too large": b"33\r\n" + EVENT + b"\r\n",
    "no chunk": EVENT,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_read_that_is_not_one_chunk_is_taken_apart(odd):
    whole = CHUNKED + sized(EVENT) + odd + sized(EVENT) + b"0\r\n\r\n"
    first = len(CHUNKED) + len(sized(EVENT))
    pieces = [whole[:first], whole[first : first + len(odd)], whole[first + len(odd) :]]
    assert received(pieces).said == received([whole]).said


@given(st.lists(st.sampled_from([EVENT, b"d", b"data: [DONE]\n\n", b"d\r\n", b"\r\n", b"0\r\n\r\n", b": ping\n\n"]), max_size=6), st.data())
def test_chunks_are_read_the_same_wherever_they_are_cut(parts, drawn):
    whole = CHUNKED + b"".join([sized(part) for part in parts]) + b"0\r\n\r\n"
    at = sorted(drawn.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    edges = [len(CHUNKED) + sum(len(sized(part)) for part in parts[:number]) for number in range(len(parts) + 1)]
    for places in (at, sorted({*at, *edges}), edges):
        cut_up = [whole[start:end] for start, end in pairwise([0, *places, len(whole)])]
        assert received(cut_up).said == [OK_CHUNKED, *([("data", b"".join(parts))] if parts else []), END]


def test_a_chunk_whose_data_begins_like_its_end_is_not_taken_for_ended():
    # the second read is data that looks like a chunk
    whole = [CHUNKED + sized(b"d"), b"8\r\n\r\n", b"1\r\nX\r\n", b"\r\n0\r\n\r\n"]
    assert received(whole).said == [OK_CHUNKED, ("data", b"d\r\n1\r\nX\r\n"), END]


def test_a_chunk_that_the_lane_takes_is_written_as_it_came():
    written = []
    lane = Lane(lambda chunk, start, end: chunk[start:end] == EVENT, written.append)
    other = EVENT.replace(b"word", b"last")
    seen = received([CHUNKED + sized(EVENT), sized(EVENT), sized(other), sized(EVENT), b"0\r\n\r\n"], lane=lane)
    assert seen.said == [OK_CHUNKED, ("data", EVENT + other), END]
    assert (written, lane.chunks) == ([sized(EVENT)] * 2, 2)
