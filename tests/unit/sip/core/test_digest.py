"""Digest credentials against the published vectors, and the rules of giving up (RFC 7616, RFC 8760, RFC 2617)."""

from __future__ import annotations

import pytest

from sip.core.commands import Credentials
from sip.core.digest import ALGORITHMS, DigestClient, Realm
from sip.message import Headers, Response, parse_auth

RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"


def learn(client: DigestClient, *challenges: str, field: str = "WWW-Authenticate", answered: dict[Realm, int] | None = None) -> bool:
    response = Response(401, "", Headers([(field, text) for text in challenges]))
    return client.learn(response, {} if answered is None else answered)


def params_of(client: DigestClient, method: str = "INVITE", uri: str = "sip:a@b", body: bytes = b"") -> dict[str, str]:
    ((_, value),) = client.headers(method, uri, body)
    return parse_auth(value)[1]


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc__rfc7616_3_9_1(algorithm: str, response: str) -> None:
    client = DigestClient(Credentials("Mufasa", "Circle of Life"), lambda: RFC7616_CNONCE)
    opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    assert learn(
        client,
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{RFC7616_NONCE}", opaque="{opaque}"',
    )
    params = params_of(client, "GET", "/dir/index.html")
    assert params["response"] == response
    assert (params["nc"], params["qop"], params["opaque"], params["algorithm"]) == ("00000001", "auth", opaque, algorithm)


def test_the_example_of_the_old_rfc__rfc2617_3_5() -> None:
    client = DigestClient(Credentials("Mufasa", "Circle Of Life"), lambda: "0a4f113b")
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    assert learn(client, f'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="{nonce}"')
    params = params_of(client, "GET", "/dir/index.html")
    assert params["response"] == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in params  # not said, not answered


def test_without_qop_the_old_form__rfc2069() -> None:
    client = DigestClient(Credentials("bob", "zanzibar"), lambda: "c")
    assert learn(client, 'Digest realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    params = params_of(client, "REGISTER", "sip:biloxi.com")
    md5 = ALGORITHMS["MD5"]
    expected = md5(f"{md5(b'bob:biloxi.com:zanzibar')}:dcd98b7102dd2f0e8b11d0f600bfb0c093:{md5(b'REGISTER:sip:biloxi.com')}".encode())
    assert params["response"] == expected
    assert not params.keys() & {"nc", "cnonce", "qop"}


def test_auth_int_covers_the_body__rfc7616_3_4_3() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    assert learn(client, 'Digest realm="r", nonce="n", qop="auth-int"')
    one, two = params_of(client, body=b"one"), params_of(client, body=b"two")
    md5 = ALGORITHMS["MD5"]
    a2 = md5(f"INVITE:sip:a@b:{md5(b'two')}".encode())
    expected = md5(f"{md5(b'u:r:p')}:n:00000002:c:auth-int:{a2}".encode())
    assert one["response"] != two["response"] == expected


def test_session_variant__rfc7616_3_4_2() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    assert learn(client, 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess')
    md5 = ALGORITHMS["MD5"]
    a1 = md5(f"{md5(b'u:r:p')}:n:c".encode())
    assert params_of(client)["response"] == md5(f"{a1}:n:00000001:c:auth:{md5(b'INVITE:sip:a@b')}".encode())


def test_sha_512_256_where_python_has_it__rfc7616() -> None:
    if "SHA-512-256" not in ALGORITHMS:
        pytest.skip("this Python's hashlib lacks sha512_256")
    assert ALGORITHMS["SHA-512-256"](b"abc") == "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"


def test_the_nonce_count_rises__rfc7616_3_4__trap33() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    learn(client, 'Digest realm="r", nonce="n", qop="auth"')
    assert [params_of(client)["nc"] for _ in range(3)] == ["00000001", "00000002", "00000003"]
    learn(client, 'Digest realm="r", nonce="n2", qop="auth"')
    assert params_of(client)["nc"] == "00000001"


def test_the_first_supported_challenge_is_taken__rfc8760_2_4__trap33() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    assert learn(
        client,
        'Digest realm="r", nonce="a", algorithm=FUTURE-1',
        'Bearer realm="r"',
        'Digest realm="r", nonce="b", algorithm=SHA-256, qop="auth"',
        'Digest realm="r", nonce="c", algorithm=MD5, qop="auth"',
    )
    assert (params_of(client)["nonce"], params_of(client)["algorithm"]) == ("b", "SHA-256")


def test_several_realms_are_answered_together__rfc3261_22_3() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    response = Response(
        407,
        "",
        Headers(
            [
                ("Proxy-Authenticate", 'Digest realm="one", nonce="1"'),
                ("Proxy-Authenticate", 'Digest realm="two", nonce="2"'),
                ("WWW-Authenticate", 'Digest realm="three", nonce="3"'),
            ]
        ),
    )
    assert client.learn(response, {})
    assert sorted((name, parse_auth(value)[1]["realm"]) for name, value in client.headers("INVITE", "sip:a@b", b"")) == [
        ("Authorization", "three"),
        ("Proxy-Authorization", "one"),
        ("Proxy-Authorization", "two"),
    ]


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Digest",
        "Basic realm=x",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce="n", qop="future"',
        'Digest realm="r", nonce="n", algorithm=ROT13',
        'Digest realm="r, nonce=',
    ],
)
def test_challenges_that_cannot_be_met(challenge: str) -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    assert not learn(client, challenge)
    assert client.headers("INVITE", "sip:a@b", b"") == []


def test_a_nonce_is_answered_once__trap33() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    answered: dict[Realm, int] = {}
    assert learn(client, 'Digest realm="r", nonce="n"', answered=answered)
    assert not learn(client, 'Digest realm="r", nonce="n"', answered=answered)
    assert not learn(client, 'Digest realm="r", nonce="n", stale=true', answered=answered)
    assert not learn(client, 'Digest realm="r", nonce="fresh"', answered=answered)  # the password is wrong
    assert learn(client, 'Digest realm="r", nonce="fresh", stale=TRUE', answered=answered)
    assert learn(client, 'Digest realm="r", nonce="fresh2"', answered={})  # another request, challenged anew


def test_a_server_that_finds_every_nonce_stale_is_given_up() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    answered: dict[Realm, int] = {}
    tries = 0
    while learn(client, f'Digest realm="r", nonce="{tries}", stale=true', answered=answered):
        tries += 1
        assert tries < 10
    assert tries == 4


def test_names_and_passwords_beyond_ascii__rfc7616_4() -> None:
    client = DigestClient(Credentials("Jäsøn", "Secret, or not?"), lambda: "c")
    assert learn(client, 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth", charset=UTF-8')
    sha = ALGORITHMS["SHA-256"]
    a1 = sha("Jäsøn:r:Secret, or not?".encode())
    assert params_of(client)["response"] == sha(f"{a1}:n:00000001:c:auth:{sha(b'INVITE:sip:a@b')}".encode())


def test_of_several_challenges_the_next_algorithm_is_tried_when_the_first_is_refused__rfc8760_2_4() -> None:
    client = DigestClient(Credentials("u", "p"), lambda: "c")
    answered: dict[tuple[str, str], int] = {}

    def challenged(nonce: str) -> bool:
        both = [("WWW-Authenticate", f'Digest realm="r", nonce="{nonce}", algorithm={name}, qop="auth"') for name in ("SHA-256", "MD5")]
        return client.learn(Response(401, "", Headers(both)), answered)

    assert challenged("n1")
    assert "algorithm=SHA-256" in client.headers("INVITE", "sip:x", b"")[0][1]
    assert challenged("n2")
    (second,) = client.headers("INVITE", "sip:x", b"")
    assert "algorithm=MD5" in second[1] and 'nonce="n2"' in second[1]
    assert not challenged("n3"), "both were refused"
    answered.clear()  # another request of the session: what was accepted last is used at once
    assert challenged("n4")
    assert "algorithm=MD5" in client.headers("BYE", "sip:x", b"")[0][1]
