"""HTTP to applications whose answers are garbage (behaviour.md 1.7)."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from server.calls.effects import Fetch
from tests.unit.server.applications.asking import PARAMETERS, ask, fetcher
from tests.unit.server.peers import Asked, peer, response, says


@pytest.mark.parametrize(
    "octets",
    [
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\0\xff\xfe garbage\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=" + b"a" * 300_000 + b"\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"T: a\r\n" * 50_000 + b"\r\n",
        response("200 OK", gzip.compress(b"") * 500, "Content-Encoding: gzip"),
        response("200 OK", b"no gzip at all", "Content-Encoding: gzip"),
        response("200 OK", gzip.compress(b"<Response/>")[:-9], "Content-Encoding: gzip"),
        response("200 OK", b"x", "Content-Encoding: br"),
    ],
)
async def test_garbage_is_a_value(octets: bytes) -> None:
    async with peer(says(octets)) as app:
        answer = await ask(app.url)
    assert (answer.status, answer.error) == (0, "protocol")
    assert answer.detail


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Security-Policy: " + b"a" * 12_000 + b"\r\n",
        b"".join(b"X-%d: a\r\n" % number for number in range(300)),
        b"".join(b"Set-Cookie: c%d=%s\r\n" % (number, b"a" * 1000) for number in range(40)),
        b"X: " + b"a" * 60_000 + b"\r\n",
    ],
)
async def test_long_head_is_read_up_to_its_limit__rfc9110_5_4(fields: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + fields + b"\r\n"
    async with peer(says(head + b"x")) as app:
        assert (await ask(app.url)).body == b"x"
        assert (await ask(app.url, max_head_bytes=len(head) + 4096)).body == b"x"
        too_long = await ask(app.url, max_head_bytes=1024)
    assert (too_long.error, "http.max_head_bytes" in too_long.detail) == ("protocol", True), too_long.detail


async def test_long_head_in_a_redirect_is_read_too() -> None:
    long = "X: " + "a" * 20_000
    async with peer(says(response("302 Found", b"", long, "Location: /b"), response("200 OK", b"x", long))) as app:
        assert (await ask(app.url)).body == b"x"


async def test_some_interim_responses_are_passed_over__rfc9110_15_2() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    async with peer(says(interim + response("200 OK", b"x"))) as app, fetcher() as made:
        for _ in range(3):
            assert (await made.fetch(Fetch(1, "CA", "voice", app.url, "POST", ()))).body == b"x"
    assert app.connections == 1


async def test_body_in_chunks_of_one_octet_is_read__rfc9112_7_1() -> None:
    chunks = b"1\r\nx\r\n" * 60_000
    async with peer(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")) as app:
        assert (await ask(app.url)).body == b"x" * 60_000


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x=" + b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 500 + b"\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"T: a\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n", gzip.compress(b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nConnection: close\r\n\r\n\x78\x9c", b"\0\0\0\xff\xff"),
    ],
    ids=["interim", "fields", "field", "extension", "extensions", "trailers", "gzip", "deflate"],
)
async def test_endless_answer_of_nothing_is_cut_off_by_octets_and_the_loop_goes_on(head: bytes, flood: bytes) -> None:
    """Whatever is endless is bounded long before the time limit, and no read of it keeps the other calls waiting."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(flood * (256_000 // len(flood)))
            await writer.drain()

    longest = 0.0
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)

    async with peer(handle) as app, fetcher(timeout_s=20) as made:
        watcher = asyncio.create_task(watch())
        answer = await made.fetch(Fetch(1, "CA", "voice", app.url, "POST", ()))
        watcher.cancel()
    assert answer.error in ("protocol", "too_large"), answer
    assert answer.elapsed_ms < 3000
    assert longest < 0.25


async def test_body_that_breaks_off_is_garbage() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Resp")
        writer.close()

    async with peer(handle) as app:
        assert (await ask(app.url)).error == "protocol"


IDS = ("i-twilio-idempotency-token", "idempotency-key")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("abort", [False, True])
async def test_kept_connection_that_dies_without_an_answer_is_asked_once_more_on_a_new_one__rfc9112_9_3_1(method: str, abort: bool) -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(app.asked) == 2:
            writer.transport.abort() if abort else writer.close()
        else:
            writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher() as made:
        answers = [await made.fetch(Fetch(1, "CA", "action", app.url, method, PARAMETERS)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert (len(app.asked), app.connections) == (3, 2)
    first, lost, again = app.asked
    assert (lost.target, lost.body) == (again.target, again.body)
    for name in IDS:
        assert lost.headers[name] == again.headers[name] != first.headers[name]
    assert again.headers[IDS[0]] == again.headers[IDS[1]]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_new_connection_that_closes_without_an_answer_is_not_asked_again(method: str) -> None:
    """The application saw the request and failed: a second one could run the action twice."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with peer(handle) as app:
        assert (await ask(app.url, method)).error == "connect"
    assert len(app.asked) == 1


@pytest.mark.parametrize(
    "said", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
async def test_kept_connection_that_dies_within_an_answer_is_not_asked_again(said: bytes) -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(app.asked) == 1:
            writer.write(response("200 OK"))
        else:
            writer.write(said)
            await writer.drain()
            writer.close()

    async with peer(handle) as app, fetcher() as made:
        answers = [await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ())) for _ in range(2)]
    assert answers[1].error in ("connect", "protocol")
    assert len(app.asked) == 2


async def test_second_try_that_dies_too_is_the_last_one() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response("200 OK")) if len(app.asked) == 1 else writer.close()

    async with peer(handle) as app, fetcher() as made:
        answers = [await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ())) for _ in range(2)]
    assert answers[1].error == "connect"
    assert len(app.asked) == 3


async def test_kept_connection_that_times_out_is_not_asked_again() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(app.asked) == 1:
            writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher(timeout_s=0.2) as made:
        answers = [await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ())) for _ in range(2)]
    assert answers[1].error == "timeout"
    assert len(app.asked) == 2


async def test_408_on_a_kept_connection_means_that_it_was_idle_too_long__rfc9110_15_5_9() -> None:
    late = response("408 Request Timeout", b"", "Connection: close")
    async with peer(says(response("200 OK"), late, response("200 OK"))) as app, fetcher() as made:
        answers = [await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ())) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    async with peer(says(late)) as app:
        assert (await ask(app.url)).status == 408
    assert len(app.asked) == 1


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"x"])
async def test_kept_connection_that_was_closed_or_spoken_to_is_not_used_again__rfc9112_9_3(after: bytes) -> None:
    """Looked at before use: what lies in the socket would be taken for the answer."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response("200 OK", b"%d" % len(app.asked)))
        await asyncio.sleep(0.01)  # so that it does not come with the answer
        writer.write(after)
        if not after:
            writer.close()

    async with peer(handle) as app, fetcher() as made:
        bodies = []
        for _ in range(3):
            bodies.append((await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ()))).body)
            await asyncio.sleep(0.03)
    assert bodies == [b"1", b"2", b"3"]
    assert (len(app.asked), app.connections) == (3, 3)


async def test_every_request_has_an_id_of_its_own_also_over_redirects() -> None:
    async with peer(says(response("307 Temporary Redirect", b"", "Location: /b"), response("200 OK"))) as app, fetcher() as made:
        await made.fetch(Fetch(1, "CA", "action", app.url, "POST", ()))
        await made.fetch(Fetch(2, "CA", "action", app.url, "POST", ()))
        await made.download(app.url + "/a.wav", 100)
    ids = [asked.headers[IDS[0]] for asked in app.asked]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
