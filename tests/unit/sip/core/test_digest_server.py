"""Digest as a server: nonces, counts, and what proves what (RFC 7616 3.3-3.7, RFC 8760)."""

from __future__ import annotations

import hashlib

import pytest

from sip.core import digest_server
from sip.core.digest_server import DigestServer, Judgement, Secrets, ha1
from sip.core.tokens import Tokens
from tests.support.digest import answer_of, parameters
from tests.unit.sip.core.phones import REALM, secrets_of

HOST, URI = "198.51.100.7", "sip:192.0.2.1"
ALICE = secrets_of("alice", "wonderland")


def server(nonce_s: float = 300.0, seed: int = 1) -> DigestServer:
    draw = iter(range(seed * 1000, seed * 1000 + 999))
    return DigestServer(REALM, ("SHA-256", "MD5"), nonce_s, Tokens(lambda count: hashlib.shake_256(str(next(draw)).encode()).digest(count)))


def judged(digest: DigestServer, text: str, *, now: float = 10.0, secrets: Secrets | None = ALICE) -> Judgement:
    answer = digest.read([text])
    assert answer is not None
    return digest.judge(answer, secrets, "REGISTER", URI, HOST, now)


def asked(digest: DigestServer, algorithm: str = "SHA-256", now: float = 10.0, host: str = HOST) -> str:
    return next(value for value in digest.challenges(ALICE, host, now) if parameters(value)["algorithm"] == algorithm)


def test_sha_256_is_offered_before_md5_with_one_nonce__rfc8760_2_4__trap33() -> None:
    values = [parameters(value) for value in server().challenges(ALICE, HOST, 10.0)]
    assert [value["algorithm"] for value in values] == ["SHA-256", "MD5"]
    assert {value["realm"] for value in values} == {REALM}
    assert {value["qop"] for value in values} == {"auth"}
    assert len({value["nonce"] for value in values}) == 1
    assert all("stale" not in value for value in values)


def test_what_a_user_has_no_digest_for_is_not_offered() -> None:
    only = server().challenges(secrets_of("alice", "wonderland", "MD5"), HOST, 10.0)
    assert [parameters(value)["algorithm"] for value in only] == ["MD5"]
    assert len(server().challenges(None, HOST, 10.0)) == 2  # nobody of that name: asked like everybody


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_the_right_password_is_right__rfc7616_3_4_1(algorithm: str) -> None:
    digest = server()
    assert judged(digest, answer_of(asked(digest, algorithm), "alice", "wonderland", "REGISTER", URI)) is Judgement.RIGHT


def test_the_example_of_the_rfc_is_computed_as_there__rfc7616_3_9_1() -> None:
    assert ha1("MD5", "Mufasa", "http-auth@example.org", "Circle of Life") == "3d78807defe7de2157e2b0b6573a855f"
    assert ha1("SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life") == (
        "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
    )


def test_a_count_that_does_not_rise_is_a_replay__rfc7616_3_4__trap33() -> None:
    digest = server()
    challenge = asked(digest)

    def used(count: int) -> Judgement:
        return judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI, count=count))

    assert [used(count) for count in (1, 1, 3, 2, 3, 4)] == [
        Judgement.RIGHT,
        Judgement.STALE,
        Judgement.RIGHT,  # gaps are legal: a request may have been lost
        Judgement.STALE,
        Judgement.STALE,
        Judgement.RIGHT,
    ]


def test_a_nonce_lives_for_its_time_and_is_stale_then__rfc7616_3_3__trap33() -> None:
    digest = server(nonce_s=30)
    challenge = asked(digest, now=10.0)
    assert judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI), now=39.9) is Judgement.RIGHT
    assert judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI, count=2), now=40.1) is Judgement.STALE
    assert all(parameters(value)["stale"] == "true" for value in digest.challenges(ALICE, HOST, 41.0, stale=True))


def test_under_a_foreign_nonce_nothing_is_judged__rfc7616_3_3() -> None:
    """After a restart of ours the phone is asked anew without its user; a forged source cannot make guesses for somebody else, and
    nobody learns from stale=true whether a password was right."""
    before, digest = server(seed=2), server()
    challenge = asked(digest)
    made_up = challenge.replace(parameters(challenge)["nonce"], "feedbeef")
    for foreign in (asked(before), asked(digest, host="203.0.113.5"), made_up, asked(digest, now=11.0)):
        for password in ("wonderland", "guess"):
            assert judged(digest, answer_of(foreign, "alice", password, "REGISTER", URI)) is Judgement.STALE
    assert judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI)) is Judgement.RIGHT


def test_a_wrong_password_an_unknown_user_and_a_changed_proof_are_wrong() -> None:
    digest = server()
    challenge = asked(digest)
    assert judged(digest, answer_of(challenge, "alice", "guess", "REGISTER", URI)) is Judgement.WRONG
    assert judged(digest, answer_of(challenge, "nobody", "guess", "REGISTER", URI), secrets=None) is Judgement.WRONG
    assert judged(digest, answer_of(challenge, "alice", "wonderland", "INVITE", URI)) is Judgement.WRONG  # signed for another method
    assert judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI, response="é")) is Judgement.WRONG
    assert judged(digest, answer_of(challenge, "alice", "", "REGISTER", URI), secrets=Secrets(())) is Judgement.WRONG


def test_an_empty_secret_admits_nobody() -> None:
    digest = server()
    challenge = asked(digest)
    asked_of = parameters(challenge)
    subject = hashlib.sha256(f"REGISTER:{URI}".encode()).hexdigest()
    proof = hashlib.sha256(f":{asked_of['nonce']}:00000001:c0ffee:auth:{subject}".encode()).hexdigest()
    forged = answer_of(challenge, "nobody", "x", "REGISTER", URI, response=proof)
    assert judged(digest, forged, secrets=None) is Judgement.WRONG


def test_credentials_for_another_user_part_do_not_belong_here__rfc7616_3_4_6() -> None:
    digest = server()
    text = answer_of(asked(digest), "alice", "wonderland", "REGISTER", "sip:bob@192.0.2.1")
    assert judged(digest, text) is Judgement.BROKEN
    again = answer_of(asked(digest), "alice", "wonderland", "REGISTER", "sip:example.com")  # a proxy has changed the host
    assert judged(digest, again) is Judgement.RIGHT


def test_without_qop_a_nonce_is_good_for_one_request__rfc2617_3_2_2_1() -> None:
    digest = server()
    text = answer_of(asked(digest, "MD5"), "alice", "wonderland", "REGISTER", URI, qop=False)
    assert [judged(digest, text), judged(digest, text)] == [Judgement.RIGHT, Judgement.STALE]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic YWxpY2U6eA==",
        'Digest username="alice"',
        'Digest realm="other", username="alice", nonce="n", uri="sip:x", response="r"',
        'Digest realm="dialplane", username="alice", nonce="n", uri="sip:x", response="r", algorithm=SHA-512-256',
        'Digest realm="dialplane", username="alice", nonce="n", uri="sip:x", response="r", qop=auth-int, nc=00000001, cnonce="c"',
        "Digest \x00",
    ],
)
def test_what_is_not_for_us_or_cannot_be_judged_is_absent(text: str) -> None:
    assert server().read([text]) is None


@pytest.mark.parametrize(("name", "value"), [("nc", "1"), ("nc", "zzzzzzzz"), ("cnonce", "")])
def test_a_broken_count_is_broken(name: str, value: str) -> None:
    digest = server()
    answer = digest.read([answer_of(asked(digest), "alice", "wonderland", "REGISTER", URI)])
    assert answer is not None
    answer.params[name] = value
    assert digest.judge(answer, ALICE, "REGISTER", URI, HOST, 10.0) is Judgement.BROKEN


def test_challenges_are_not_remembered_and_used_nonces_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_server, "MAX_NONCES", 3)
    digest = server()
    given = [asked(digest, now=10.0 + number) for number in range(6)]
    assert len(digest) == 0
    for challenge in given[:5]:
        assert judged(digest, answer_of(challenge, "alice", "wonderland", "REGISTER", URI), now=20.0) is Judgement.RIGHT
    assert len(digest) == 3
    # What was forgotten cannot be used again, nor what is as old.
    assert judged(digest, answer_of(given[0], "alice", "wonderland", "REGISTER", URI), now=20.0) is Judgement.STALE
    assert judged(digest, answer_of(given[4], "alice", "wonderland", "REGISTER", URI, count=2), now=20.0) is Judgement.RIGHT
    assert judged(digest, answer_of(given[5], "alice", "wonderland", "REGISTER", URI), now=400.0) is Judgement.STALE
    fresh = asked(digest, now=400.0)
    assert judged(digest, answer_of(fresh, "alice", "wonderland", "REGISTER", URI), now=400.0) is Judgement.RIGHT
    assert len(digest) == 1  # those whose time is over have left


def test_secrets_are_not_shown() -> None:
    assert "3d78" not in repr(Secrets((("MD5", "3d78807defe7de2157e2b0b6573a855f"),)))
