"""HTTP to applications, against ones that misbehave (behaviour.md 1.7)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from config.settings import HttpSettings
from server.applications.fetch import Fetcher
from server.calls.effects import Fetch, Fetched
from tests.unit.server.peers import Asked, peer, response, says

PARAMETERS = (("CallSid", "CA1"), ("From", "+1 2"), ("SipHeader_X-A", "ü&"))


@asynccontextmanager
async def fetcher(resolver: AbstractResolver | None = None, **knobs: Any) -> AsyncIterator[Fetcher]:
    made = Fetcher(HttpSettings.model_validate({"allow": ["127.0.0.1/32"], "timeout_s": 2, **knobs}), resolver)
    try:
        yield made
    finally:
        await made.close()


async def ask(url: str, method: str = "POST", parameters: tuple[tuple[str, str], ...] = PARAMETERS, **knobs: Any) -> Fetched:
    async with fetcher(**knobs) as made:
        return await made.fetch(Fetch(7, "CA1", "voice", url, method, parameters))


# --- what is asked


async def test_post_keeps_the_query_and_sends_a_utf8_form__behaviour_1_7() -> None:
    async with peer(says(response("200 OK", b"<Response/>", "Content-Type: text/xml"))) as app:
        answer = await ask(app.url + "/voice?a=1&b=%2F")
    asked = app.asked[0]
    assert (asked.method, asked.target) == ("POST", "/voice?a=1&b=%2F")
    assert asked.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert parse_qsl(asked.body.decode()) == list(PARAMETERS)
    assert (answer.request, answer.status, answer.content_type, answer.body, answer.error) == (7, 200, "text/xml", b"<Response/>", "")


async def test_get_appends_to_the_urls_own_query__behaviour_1_7() -> None:
    async with peer(says(response("200 OK"))) as app:
        answer = await ask(app.url + "/voice?a=%2B1", "GET")
    asked = app.asked[0]
    assert asked.target.startswith("/voice?a=%2B1&CallSid=CA1&")
    assert parse_qsl(urlsplit(asked.target).query)[1:] == list(PARAMETERS)
    assert asked.body == b""
    assert answer.url == app.url + "/voice?a=%2B1"  # the document's own: relative URLs resolve against it


async def test_userinfo_becomes_basic_authentication() -> None:
    async with peer(says(response("200 OK"))) as app:
        await ask(f"http://us%20er:p%3Aw@127.0.0.1:{app.port}/")
    scheme, _, value = app.asked[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(value)) == ("Basic", b"us er:p:w")
    assert "@" not in app.asked[0].headers["host"]


async def test_connections_are_kept_and_reused() -> None:
    async with peer(says(response("200 OK", b"x"))) as app, fetcher() as made:
        for _ in range(3):
            assert (await made.fetch(Fetch(1, "CA", "voice", app.url, "POST", ()))).status == 200
    assert app.connections == 1


async def test_no_cookies_pass_from_call_to_call() -> None:
    async with peer(says(response("200 OK", b"", "Set-Cookie: a=1; Path=/"))) as app, fetcher() as made:
        for call in ("CA1", "CA2"):
            await made.fetch(Fetch(1, call, "voice", app.url, "POST", ()))
    assert "cookie" not in app.asked[1].headers


async def test_cookies_of_a_call_go_back_within_it__rfc6265() -> None:
    given = response("200 OK", b"", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/other", "Set-Cookie: c=x%20y")
    async with peer(says(given, response("200 OK"))) as app, fetcher() as made:
        for purpose in ("voice", "action", "status"):
            await made.fetch(Fetch(1, "CA1", purpose, app.url + "/voice", "POST", ()))
        await made.download(app.url + "/a.wav", 100)
        made.forget("CA1")
        await made.fetch(Fetch(1, "CA1", "action", app.url + "/voice", "POST", ()))
    assert [asked.headers.get("cookie") for asked in app.asked] == [None, "a=1; c=x%20y", "a=1; c=x%20y", None, None]


async def test_cookie_of_a_redirect_goes_along_to_where_it_leads__rfc6265() -> None:
    moved = response("302 Found", b"", "Location: /b", "Set-Cookie: a=1")
    async with peer(says(moved, response("200 OK"))) as app:
        await ask(app.url + "/a")
    assert app.asked[1].headers["cookie"] == "a=1"


async def test_cookie_never_goes_to_another_host__rfc6265_5_4() -> None:
    resolver = _Resolver({"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.1"]})
    async with peer(says(response("200 OK", b"", "Set-Cookie: a=1"))) as app, fetcher(resolver) as made:
        for host in ("one", "two", "one"):
            await made.fetch(Fetch(1, "CA1", "action", f"http://{host}.example.com:{app.port}/", "POST", ()))
    assert [asked.headers.get("cookie") for asked in app.asked] == [None, None, "a=1"]


async def test_any_status_is_an_answer() -> None:
    async with peer(says(response("404 Not Found", b"no"))) as app:
        answer = await ask(app.url)
    assert (answer.status, answer.body, answer.error) == (404, b"no", "")


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirect_is_followed_with_method_and_parameters__behaviour_1_7(status: int, method: str) -> None:
    async with peer(says(response(f"{status} X", b"", "Location: /next?c=3"), response("200 OK", b"<Response/>"))) as app:
        answer = await ask(app.url + "/voice?a=1", method)
    first, second = app.asked
    assert [first.method, second.method] == [method, method]
    assert second.target.startswith("/next?c=3")
    sent = second.body.decode() if method == "POST" else urlsplit(second.target).query.partition("&")[2]
    assert parse_qsl(sent) == list(PARAMETERS)
    assert (answer.status, answer.url) == (200, app.url + "/next?c=3")


async def test_redirect_that_carries_the_parameters_does_not_get_them_twice() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        moved = asked.target.replace("/old", "/new")
        writer.write(response("301 X", b"", f"Location: {moved}") if "/old" in asked.target else response("200 OK"))

    async with peer(handle) as app:
        await ask(app.url + "/old", "GET")
    assert app.asked[1].target.count("CallSid=") == 1


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/step2?name=John Smith", "/step2?name=John%20Smith"),
        (b"/a b/c  d", "/a%20b/c%20%20d"),
        (b"  /x?y=1\t", "/x?y=1"),
        (b"/tab\there", "/tabhere"),
        (b'/<q>"', "/%3Cq%3E%22"),
        (b"/J\xf6rg", "/J%F6rg"),
        ("/Jörg\u00a0".encode(), "/J%C3%B6rg%C2%A0"),
        (b"/{a}|^`[b]", "/%7Ba%7D%7C%5E%60%5Bb%5D"),
        (b"/100%?p=50%", "/100%25?p=50%25"),
        (b"/a%20b", "/a%20b"),
        (b"?only=a query", "/start?only=a%20query"),
        (b"/f#frag ment", "/f"),
    ],
)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_location_is_escaped_as_scripts_write_it__rfc9110_10_2_2(location: bytes, target: str, status: str) -> None:
    moved = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: ".encode() + location + b"\r\n\r\n"
    async with peer(says(moved, response("200 OK"))) as app:
        assert (await ask(app.url + "/start", parameters=())).status == 200
    assert app.asked[1].target == target


async def test_host_with_a_blank_is_no_place_to_ask() -> None:
    async with peer(says(response("302 Found", b"", "Location: http://ho st/x"))) as app:
        assert (await ask(app.url)).error == "url"


async def test_redirect_loop_ends__behaviour_1_7() -> None:
    async with peer(says(response("302 X", b"", "Location: /"))) as app:
        answer = await ask(app.url, max_redirects=3)
    assert (answer.status, answer.error) == (0, "redirects")
    assert len(app.asked) == 4
    assert "http.max_redirects" in answer.detail


async def test_redirect_without_a_place_is_an_answer() -> None:
    async with peer(says(response("302 X", b"where?"))) as app:
        assert (await ask(app.url)).status == 302


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "javascript:alert(1)", "http://"])
async def test_redirect_to_something_else_than_http_is_refused(location: str) -> None:
    async with peer(says(response("302 X", b"", f"Location: {location}"))) as app:
        assert (await ask(app.url)).error == "url"


async def test_userinfo_does_not_follow_a_redirect() -> None:
    async with peer(says(response("200 OK"))) as other, peer(says(response("302 X", b"", f"Location: {other.url}/"))) as app:
        await ask(f"http://user:secret@127.0.0.1:{app.port}/")
    assert "authorization" not in other.asked[0].headers


# --- too slow


async def test_silent_application_times_out__behaviour_1_7() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with peer(handle) as app:
        answer = await ask(app.url, timeout_s=0.2)
    assert (answer.status, answer.error) == (0, "timeout")
    assert 150 <= answer.elapsed_ms <= 1500


async def test_dripping_body_times_out_in_total() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with peer(handle) as app:
        answer = await ask(app.url, timeout_s=0.3)
    assert (answer.status, answer.error) == (0, "timeout")


async def test_redirects_share_one_time_limit() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(response("302 X", b"", "Location: /"))

    async with peer(handle) as app:
        answer = await ask(app.url, timeout_s=0.4, max_redirects=50)
    assert answer.error == "timeout"


# --- too much


async def test_declared_body_over_the_limit_is_not_read() -> None:
    async with peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")) as app:
        answer = await ask(app.url)
    assert (answer.status, answer.error) == (0, "too_large")


async def test_endless_body_is_cut_off() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with peer(handle) as app:
        answer = await ask(app.url, max_body_bytes=20_000)
    assert answer.error == "too_large"


async def test_body_of_exactly_the_limit_is_read() -> None:
    async with peer(says(response("200 OK", b"x" * 2048))) as app:
        assert len((await ask(app.url, max_body_bytes=2048)).body) == 2048
        assert (await ask(app.url, max_body_bytes=2047)).error == "too_large"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_packed_bomb_is_cut_off_before_it_unfolds(coding: str) -> None:
    plain = b"\0" * 50_000_000
    packed = gzip.compress(plain, 6) if coding == "gzip" else zlib.compress(plain, 6)
    async with peer(says(response("200 OK", packed, f"Content-Encoding: {coding}"))) as app:
        answer = await ask(app.url, max_body_bytes=1_000_000)
    assert answer.error == "too_large"


_RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"<Response/>")),
        ("x-gzip", gzip.compress(b"<Resp") + gzip.compress(b"onse/>")),
        ("deflate", zlib.compress(b"<Response/>")),
        ("deflate", _RAW.compress(b"<Response/>") + _RAW.flush()),
        ("identity", b"<Response/>"),
    ],
)
async def test_packed_body_is_unpacked__rfc9110_8_4(coding: str, packed: bytes) -> None:
    async with peer(says(response("200 OK", packed, f"Content-Encoding: {coding}"))) as app:
        assert (await ask(app.url)).body == b"<Response/>"


async def test_audio_is_not_read__behaviour_1_7() -> None:
    """It stands for `<Play>` of the same URL, which fetches it under its own limit."""
    async with peer(says(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 99999999\r\n\r\nRIFF")) as app:
        answer = await ask(app.url)
    assert (answer.status, answer.content_type, answer.body, answer.error) == (200, "audio/wav", b"", "")


# --- garbage


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


# --- nobody there


async def test_closed_port_is_a_value() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        answer = await ask(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.error) == (0, "connect")


async def test_unknown_name_is_a_value() -> None:
    answer = await ask("http://app.invalid/", resolver=_Resolver({}))
    assert (answer.status, answer.error) == (0, "connect")


async def test_plain_http_behind_https_is_a_tls_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response("400 Bad Request"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert (await ask(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")).error == "tls"


async def test_untrusted_certificate_is_a_tls_failure(tmp_path: Path) -> None:
    openssl = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *(
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(tmp_path / "key"),
            "-out",
            str(tmp_path / "cert"),
        ),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await openssl.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response("200 OK", b"", "Connection: close"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await ask(url, parameters=())).error == "tls"
        assert (await ask(url, parameters=(), ca_file=str(tmp_path / "cert"))).status == 200


@pytest.mark.parametrize(
    "url", ["", "app/voice", "ftp://a/", "file:///etc/passwd", "http://", "http://[::1", "http://a:99999/", "http://a b/"]
)
async def test_what_is_no_url_is_a_value(url: str) -> None:
    answer = await ask(url)
    assert (answer.status, answer.error) == (0, "url")


# --- the guard


class _Resolver(AbstractResolver):
    """Names with prepared addresses; a list is used up, as by a server that changes its mind."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if host not in self._names:
            raise OSError(None, "no such name")
        addresses = self._names[host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        version = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=version, proto=0, flags=socket.AI_NUMERICHOST)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ],
)
async def test_literal_address_of_this_machine_is_blocked(host: str) -> None:
    answer = await ask(f"http://{host}:9/", allow=[])
    assert (answer.status, answer.error) == (0, "blocked"), answer
    assert "http.allow" in answer.detail


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_odd_spelling_of_a_literal_leads_nowhere(host: str) -> None:
    """The C library's resolver reads all of these as 127.0.0.1; they end at the guard, or earlier as no URL."""
    answer = await ask(f"http://{host}:9/", allow=[], resolver=ThreadedResolver())
    assert answer.status == 0
    assert answer.error in ("blocked", "url"), answer


async def test_name_that_leads_inside_is_blocked() -> None:
    answer = await ask("http://app.example.com/", allow=[], resolver=_Resolver({"app.example.com": ["10.1.2.3"]}))
    assert answer.error == "blocked"
    assert '"10.1.2.3/32"' in answer.detail


async def test_redirect_that_leads_inside_is_blocked() -> None:
    async with peer(says(response("302 X", b"", "Location: http://127.0.0.2:1/"))) as app:
        answer = await ask(app.url)
    assert answer.error == "blocked"
    assert '"127.0.0.2/32"' in answer.detail


async def test_name_that_changes_its_address_is_blocked_when_it_does() -> None:
    """DNS rebinding: a first look says a harmless address, the second the loopback."""
    resolver = _Resolver({"app.example.com": ["127.0.0.1", "127.0.0.3"]})
    async with peer(says(response("200 OK", b"", "Connection: close"))) as app, fetcher(resolver) as made:
        made._exchanges._kept.connector._use_dns_cache = False  # type: ignore[union-attr]  # every connection asks anew
        url = f"http://app.example.com:{app.port}/"
        answers = [await made.fetch(Fetch(1, "CA", "voice", url, "POST", ())) for _ in range(2)]
    assert [answer.error for answer in answers] == ["", "blocked"]


async def test_allowed_range_is_open() -> None:
    async with peer(says(response("200 OK"))) as app:
        assert (await ask(app.url, allow=["127.0.0.0/8"])).status == 200


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    async with peer(says(response("200 OK"))) as app:
        assert (await ask(app.url)).status == 200


# --- many at once


async def test_more_requests_than_connections_wait_their_turn() -> None:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher(max_per_host=4) as made:
        answers = await asyncio.gather(*(made.fetch(Fetch(i, "CA", "voice", app.url, "POST", ())) for i in range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert app.connections <= 4


# --- downloads


async def test_download_into_memory_and_into_a_file(tmp_path: Path) -> None:
    octets = b"RIFF" + bytes(300_000)
    whole = response("200 OK", octets, "Content-Type: audio/wav", 'ETag: "1"', "Last-Modified: Tue, 26 May 2020 17:59:16 GMT")
    async with peer(says(whole)) as app, fetcher() as made:
        held = await made.download(app.url + "/a.wav", 1_000_000)
        kept = await made.download(app.url + "/a.wav", 1_000_000, tmp_path / "a.wav")
    assert (held.status, held.body, held.etag, held.content_type) == (200, octets, '"1"', "audio/wav")
    assert (kept.size_bytes, kept.body, (tmp_path / "a.wav").read_bytes()) == (len(octets), b"", octets)


async def test_download_of_what_is_at_hand_is_304() -> None:
    async with peer(says(b"HTTP/1.1 304 Not Modified\r\n\r\n")) as app, fetcher() as made:
        got = await made.download(app.url, 100, etag='"1"', last_modified="Tue, 26 May 2020 17:59:16 GMT")
    assert (got.status, got.error) == (304, "")
    assert app.asked[0].headers["if-none-match"] == '"1"'
    assert app.asked[0].headers["if-modified-since"] == "Tue, 26 May 2020 17:59:16 GMT"


async def test_download_is_limited_and_guarded(tmp_path: Path) -> None:
    async with peer(says(response("200 OK", bytes(2000)))) as app, fetcher() as made:
        assert (await made.download(app.url, 1999)).error == "too_large"
        assert (await made.download("http://127.0.0.9/a.wav", 1999)).error == "blocked"
        assert (await made.download(app.url, 9999, tmp_path / "no" / "dir")).error == "protocol"


# --- who shares with whom


@pytest.mark.parametrize("kind", ["voice", "status", "audio"])
@pytest.mark.parametrize("hosts", [1, 6])
async def test_good_application_has_its_turn_beside_five_that_hang(kind: str, hosts: int) -> None:
    """Whatever hangs, and whether it hangs on the host of the good one or on others."""
    resolver = _Resolver({f"h{number}.example.com": ["127.0.0.1"] for number in range(6)})

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "hang" not in asked.target:
            writer.write(response("200 OK", b"<Response/>"))

    async with peer(handle) as app, fetcher(resolver, timeout_s=30, queue_s=30, max_concurrent=64, max_per_host=64) as made:

        def ask_for(number: int, path: str, call: str, purpose: str) -> Any:
            url = f"http://h{number % hosts}.example.com:{app.port}/{number}/{path}"
            if purpose == "audio":
                return made.download(url, 1000)
            return made.fetch(Fetch(1, f"CA{number}-{call}", purpose, url, "POST", ()))

        hanging = [asyncio.ensure_future(ask_for(number, "hang", str(call), kind)) for number in range(1, 6) for call in range(100)]
        await asyncio.sleep(0.2)
        taken = sum(made.counts().values())
        for purpose in ("voice", "status", "audio"):
            async with asyncio.timeout(5):
                for call in range(10):
                    assert (await ask_for(0, "good", f"{purpose}{call}", purpose)).status == 200
        assert sum(made.counts().values()) == taken, "nothing of what hangs got more by it"
        for one in hanging:
            one.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert sum(made.counts().values()) == 0


async def test_application_that_hangs_is_remembered_and_found_well_again() -> None:
    hang = True

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if not hang:
            writer.write(response("200 OK"))

    async with peer(handle) as app, fetcher(timeout_s=1) as made:

        async def burst() -> list[Fetched]:
            return list(await asyncio.gather(*(made.fetch(Fetch(1, f"CA{n}", "voice", app.url, "POST", ())) for n in range(20))))

        first = await burst()
        assert {answer.error for answer in first} == {"timeout"}
        before = len(app.asked)
        assert before == 20
        second = await burst()
        assert {answer.error for answer in second} == {"timeout"}
        assert len(app.asked) == before + 3, "probes"
        told = [answer for answer in second if "hangs" in answer.detail]
        assert len(told) == 17
        assert max(answer.elapsed_ms for answer in told) < 500, "at once, so that a fallback can be asked"
        hang = False
        assert (await made.fetch(Fetch(1, "CA", "voice", app.url, "POST", ()))).status == 200
        assert {answer.status for answer in await burst()} == {200}
