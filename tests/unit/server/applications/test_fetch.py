"""HTTP to applications, against ones that misbehave (behaviour.md 1.7)."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
import ssl
import zlib
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from server.calls.effects import Fetch
from tests.unit.server.applications.asking import PARAMETERS, Resolver, ask, fetcher
from tests.unit.server.peers import Asked, peer, response, says

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
    resolver = Resolver({"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.1"]})
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


# --- nobody there


async def test_closed_port_is_a_value() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        answer = await ask(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.error) == (0, "connect")


async def test_unknown_name_is_a_value() -> None:
    answer = await ask("http://app.invalid/", resolver=Resolver({}))
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
