"""`a=crypto` lines, and which key is whose over the life of a session (RFC 4568)."""

from __future__ import annotations

import base64
import itertools
import re

import msgspec
import pytest

from media.engine import SrtpKeys
from media.errors import UsageError
from media.sdp.crypto import SUITES, CryptoLine, Unusable, build_crypto, parse_crypto
from media.sdp.description import Media, parse_description
from media.sdp.offer_answer import Agreed, LocalMedia, OfferAnswer, SdpRefused, offered_family
from media.settings import SRTP_SUITES, MediaSettings, SrtpPolicy

CM_80 = "AES_CM_128_HMAC_SHA1_80"
KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
OTHER = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
HEAD = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"


def machine(srtp: SrtpPolicy | None = None, **settings: object) -> OfferAnswer:
    numbers = itertools.count(1)
    local = LocalMedia("192.0.2.10", 20000, 20001)
    chance = lambda length: bytes([next(numbers)] * length)  # noqa: E731
    return OfferAnswer(MediaSettings.model_validate(settings), local, 1000, random_bytes=chance, srtp=srtp)


def sdp(protocol: str = "RTP/SAVP", *crypto: str, port: int = 4000) -> bytes:
    lines = [f"m=audio {port} {protocol} 0", *(f"a=crypto:{value}" for value in crypto)]
    return (HEAD + "".join(f"{line}\r\n" for line in lines)).encode()


def line(tag: int = 1, suite: str = CM_80, key: str = KEY, rest: str = "") -> str:
    return f"{tag} {suite} inline:{key}{rest}"


def audio(text: bytes) -> Media:
    return parse_description(text).media[0]


def offered(text: bytes) -> list[CryptoLine]:
    found = [parse_crypto(value) for name, value in audio(text).attributes if name == "crypto"]
    assert all(isinstance(one, CryptoLine) for one in found)
    return [one for one in found if isinstance(one, CryptoLine)]


def ours(agreed: Agreed) -> str:
    assert agreed.srtp
    return agreed.srtp.local_key


def take_offer(m: OfferAnswer, *crypto: str, protocol: str = "RTP/SAVP") -> Agreed:
    m.receive_offer(sdp(protocol, *crypto))
    return m.answer()[1]


# --- lines --------------------------------------------------------------------------------------------------------


def test_suites_are_those_of_the_settings_with_the_key_lengths_of_their_rfcs() -> None:
    assert set(SUITES) == set(SRTP_SUITES)
    assert {suite.master_bytes for suite in SUITES.values()} == {30, 46, 28, 44}


@pytest.mark.parametrize(
    ("value", "tag", "mki"),
    [
        (f"1 {CM_80} inline:{KEY}", 1, b""),
        (f"1 {CM_80} inline:{KEY}|2^20", 1, b""),
        (f"1 {CM_80} inline:{KEY}|1048576", 1, b""),
        (f"1 {CM_80} inline:{KEY}|2^20|1:4", 1, b"\0\0\0\1"),
        (f"1 {CM_80} inline:{KEY}|1:1", 1, b"\1"),
        (f"1 {CM_80} inline:{KEY}|2^31|1:17", 1, bytes(16) + b"\1"),
        (f"1 {CM_80} inline:{KEY}|7:128", 1, bytes(127) + b"\7"),
        (f"1 {CM_80} inline:{KEY}|2^20|{256**128 - 1}:128", 1, b"\xff" * 128),
        (f"999999999 {CM_80} inline:{KEY}", 999_999_999, b""),
        (f"  2\t{CM_80.lower()}  INLINE:{KEY}  ", 2, b""),
        (f"1 {CM_80} inline:{KEY} WSH=128 -whatever=1", 1, b""),
    ],
)
def test_line_that_can_be_used__rfc4568_9(value: str, tag: int, mki: bytes) -> None:
    assert parse_crypto(value) == CryptoLine(tag, SUITES[CM_80], base64.b64decode(KEY), mki)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not of the form <tag> <suite> <key>"),
        (f"1 {CM_80}", "not of the form <tag> <suite> <key>"),
        (f"x {CM_80} inline:{KEY}", "not of the form <tag> <suite> <key>"),
        (f"1234567890 {CM_80} inline:{KEY}", "not of the form <tag> <suite> <key>"),
        (f"1 F8_128_HMAC_SHA1_80 inline:{KEY}", "unknown suite"),
        (f"1 {CM_80} inline:{KEY};inline:{OTHER}", "several keys"),
        (f"1 {CM_80} uri:{KEY}", "no inline key"),
        (f"1 {CM_80} inline:{KEY}|2^20|1:4|x", "no inline key"),
        (f"1 {CM_80} inline:*{KEY[1:]}", "no inline key"),
        (f"1 {CM_80} inline:{KEY[:-3]}", "key is not base64"),
        (f"1 {CM_80} inline:{KEY[:-1]}", "key of 29 octets instead of 30"),
        (f"1 AEAD_AES_128_GCM inline:{KEY}", "key of 30 octets instead of 28"),
        (f"1 {CM_80} inline:{KEY}|0", "lifetime 0"),
        (f"1 {CM_80} inline:{KEY}|2^20|256:1", "key identifier"),
        (f"1 {CM_80} inline:{KEY}|2^20|1:0", "key identifier"),
        (f"1 {CM_80} inline:{KEY}|2^20|1:129", "key identifier"),
        (f"1 {CM_80} inline:{KEY}|2^20|{256**128}:128", "key identifier"),
        (f"1 {CM_80} inline:{KEY} KDR=1", "session parameter KDR"),
        (f"1 {CM_80} inline:{KEY} WSH=64 UNENCRYPTED_SRTCP", "session parameter UNENCRYPTED_SRTCP"),
    ],
)
def test_line_that_cannot_be_used__rfc4568_9(value: str, reason: str) -> None:
    unusable = parse_crypto(value)
    assert isinstance(unusable, Unusable) and unusable.reason == reason
    assert KEY[1:] not in repr(unusable)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_built_line_reads_back_with_or_without_padding(suite: object) -> None:
    assert isinstance(suite, type(SUITES[CM_80]))
    master = bytes(range(suite.master_bytes))
    text = base64.b64encode(master).decode()
    for key in (text, text.rstrip("=")):
        assert parse_crypto(build_crypto(3, suite.name, key)) == CryptoLine(3, suite, master)


# --- secrets ------------------------------------------------------------------------------------------------------


def test_keys_are_not_shown() -> None:
    m = machine("optional")
    agreed = take_offer(m, line())
    command = agreed.connect_command("s", latch=True, media_timeout_ms=0)
    shown = f"{agreed} {command} {m._security._ring} {parse_crypto(line())}"
    assert KEY not in shown and ours(agreed) not in shown and str(base64.b64decode(KEY)) not in shown
    assert "SrtpKeys(suite='AES_CM_128_HMAC_SHA1_80')" in shown


def test_encryption_needs_a_source_of_keys() -> None:
    local = LocalMedia("192.0.2.10", 20000, 20001)
    with pytest.raises(UsageError):
        OfferAnswer(MediaSettings(srtp="optional"), local, 1)
    OfferAnswer(MediaSettings(), local, 1)


# --- our offers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "protocol", "lines"), [("forbidden", "RTP/AVP", 0), ("optional", "RTP/AVP", 6), ("mandatory", "RTP/SAVP", 6)]
)
def test_first_offer_follows_the_policy(policy: SrtpPolicy, protocol: str, lines: int) -> None:
    text = machine(policy).offer()
    assert audio(text).protocol == protocol
    assert [one.suite.name for one in offered(text)] == list(SRTP_SUITES)[:lines]
    assert [one.tag for one in offered(text)] == list(range(1, lines + 1))
    assert len({one.master for one in offered(text)}) == lines, "a key of its own for each"


def test_policy_of_the_settings_holds_unless_the_session_has_its_own() -> None:
    assert audio(machine(srtp=None, srtp_suites=[CM_80]).offer()).protocol == "RTP/AVP"
    m = OfferAnswer(MediaSettings(srtp="mandatory"), LocalMedia("192.0.2.10", 2, 3), 1, random_bytes=bytes)
    assert audio(m.offer()).protocol == "RTP/SAVP"
    m = OfferAnswer(MediaSettings(srtp="mandatory"), LocalMedia("192.0.2.10", 2, 3), 1, random_bytes=bytes, srtp="forbidden")
    assert audio(m.offer()).protocol == "RTP/AVP"


@pytest.mark.parametrize("policy", ["optional", "mandatory"])
def test_answer_names_the_suite_and_the_peers_key(policy: SrtpPolicy) -> None:
    m = machine(policy)
    line_of = {one.suite.name: one for one in offered(m.offer())}
    agreed = m.receive_answer(sdp(audio(m.local_description).protocol, line(2, "AES_CM_128_HMAC_SHA1_32", rest="|2^20|9:1")))
    assert agreed.srtp == SrtpKeys(
        suite="AES_CM_128_HMAC_SHA1_32",
        local_key=base64.b64encode(line_of["AES_CM_128_HMAC_SHA1_32"].master).decode(),
        remote_key=KEY,
        remote_mki="09",
    )
    assert agreed.connect_command("s", latch=True, media_timeout_ms=0).srtp == agreed.srtp


def test_plain_answer_to_an_opportunistic_offer_is_plain__rfc8643_3_2() -> None:
    m = machine("optional")
    m.offer()
    agreed = m.receive_answer(sdp("RTP/AVP"))
    assert agreed.srtp is None
    assert agreed.connect_command("s", latch=True, media_timeout_ms=0).srtp is msgspec.UNSET
    assert offered(m.offer()) == [], "what is plain stays plain when we offer again"


@pytest.mark.parametrize(
    ("policy", "protocol", "crypto", "code"),
    [
        ("mandatory", "RTP/AVP", [], 302),
        ("mandatory", "RTP/AVP", [line()], 302),
        ("mandatory", "RTP/SAVP", [], 306),
        ("mandatory", "RTP/SAVP", [line(suite="F8_128_HMAC_SHA1_80")], 306),
        ("optional", "RTP/SAVP", [], 306),
        ("optional", "RTP/AVP", [line(rest=" UNENCRYPTED_SRTP")], 306),
        ("forbidden", "RTP/SAVP", [line()], 302),
    ],
)
def test_answer_that_does_not_fit_the_offer_is_refused(policy: SrtpPolicy, protocol: str, crypto: list[str], code: int) -> None:
    m = machine(policy)
    m.offer()
    with pytest.raises(SdpRefused) as refused:
        m.receive_answer(sdp(protocol, *crypto))
    assert (refused.value.status, refused.value.warning_code) == (488, code)
    assert m.agreed is None


def test_suite_that_was_not_offered_is_refused_in_an_answer() -> None:
    m = machine("mandatory", srtp_suites=[CM_80])
    m.offer()
    with pytest.raises(SdpRefused):
        m.receive_answer(sdp("RTP/SAVP", line(suite="AES_CM_128_HMAC_SHA1_32")))


def test_our_own_key_is_refused_as_the_peers__rfc3711_9_1() -> None:
    m = machine("mandatory")
    first = offered(m.offer())[0]
    with pytest.raises(SdpRefused, match="No usable key"):
        m.receive_answer(sdp("RTP/SAVP", line(key=base64.b64encode(first.master).decode())))


def test_savp_answer_to_keys_on_a_plain_line_is_taken() -> None:
    m = machine("optional")
    m.offer()
    assert m.receive_answer(sdp("RTP/SAVP", line())).srtp


@pytest.mark.parametrize(
    ("asks", "answers", "outcome"),
    [
        ("forbidden", "forbidden", "plain"),
        ("forbidden", "optional", "plain"),
        ("forbidden", "mandatory", "refused"),
        ("optional", "forbidden", "plain"),
        ("optional", "optional", "encrypted"),
        ("optional", "mandatory", "encrypted"),
        ("mandatory", "forbidden", "refused"),
        ("mandatory", "optional", "encrypted"),
        ("mandatory", "mandatory", "encrypted"),
    ],
)
def test_two_of_us_agree_as_their_policies_say(asks: SrtpPolicy, answers: SrtpPolicy, outcome: str) -> None:
    numbers = itertools.count()
    chance = lambda length: bytes([next(numbers)] * length)  # noqa: E731
    ask, answer = (
        OfferAnswer(MediaSettings(), LocalMedia(f"192.0.2.{host}", 20000, 20001), 1, random_bytes=chance, srtp=policy)
        for host, policy in enumerate((asks, answers), 1)
    )
    for _ in range(2):  # and once more, in the session
        try:
            answer.receive_offer(ask.offer())
        except SdpRefused:
            assert outcome == "refused"
            return
        text, theirs = answer.answer()
        mine = ask.receive_answer(text)
        assert (mine.srtp is not None, theirs.srtp is not None) == (outcome == "encrypted",) * 2
        if mine.srtp and theirs.srtp:
            assert (mine.srtp.suite, mine.srtp.local_key) == (theirs.srtp.suite, theirs.srtp.remote_key)
            assert mine.srtp.remote_key == theirs.srtp.local_key
    assert outcome != "refused"


# --- which key, over a session ------------------------------------------------------------------------------------


def test_key_stays_over_our_own_offers() -> None:
    m = machine("optional")
    agreed = take_offer(m, line())
    again = {one.suite.name: one for one in offered(m.offer(direction="sendonly"))}
    assert base64.b64encode(again[CM_80].master).decode() == ours(agreed)
    assert ours(m.receive_answer(sdp("RTP/SAVP", line()))) == ours(agreed)


def test_session_refresh_says_the_same_line() -> None:
    m = machine("optional")
    m.receive_offer(sdp("RTP/SAVP", line(5)))
    text, _ = m.answer()
    assert m.refresh() == text


def test_same_answer_to_the_same_offer() -> None:
    m = machine("optional")
    take_offer(m, line())
    m.receive_offer(sdp("RTP/SAVP", line(key=OTHER)))
    first, agreed = m.answer()
    second, again = m.answer()
    assert (first, agreed) == (second, again)


def test_new_key_of_the_peer_is_answered_by_a_new_key_of_ours__rfc4568_7_1_4() -> None:
    m = machine("optional")
    first = take_offer(m, line())
    assert ours(take_offer(m, line())) == ours(first)
    second = take_offer(m, line(key=OTHER))
    assert ours(second) != ours(first)


def test_new_address_of_ours_has_new_keys__rfc4568_7_1_4() -> None:
    m = machine("optional")
    before = take_offer(m, line())
    m.local = LocalMedia("192.0.2.10", 20100, 20101)
    moved = {one.suite.name: base64.b64encode(one.master).decode() for one in offered(m.offer())}
    assert moved[CM_80] != ours(before)
    assert ours(m.receive_answer(sdp("RTP/SAVP", line()))) == moved[CM_80]


def test_refused_offer_of_ours_leaves_the_keys_in_force() -> None:
    m = machine("optional")
    before = take_offer(m, line())
    m.local = LocalMedia("192.0.2.10", 20100, 20101)
    m.offer()
    m.withdraw()
    m.local = LocalMedia("192.0.2.10", 20000, 20001)
    assert ours(take_offer(m, line())) == ours(before)


def test_last_of_several_answers_counts() -> None:
    m = machine("optional")
    m.offer()
    m.receive_answer(sdp("RTP/AVP", line()))
    agreed = m.receive_answer(sdp("RTP/AVP", line(key=OTHER)))
    assert agreed.srtp and agreed.srtp.remote_key == OTHER


def test_session_may_become_encrypted_and_plain_again_where_it_is_optional() -> None:
    m = machine("optional")
    assert take_offer(m, protocol="RTP/AVP").srtp is None
    assert take_offer(m, line()).srtp is not None
    assert take_offer(m, protocol="RTP/AVP").srtp is None


def test_refused_offer_changes_nothing() -> None:
    m = machine("mandatory")
    before = take_offer(m, line())
    with pytest.raises(SdpRefused):
        m.receive_offer(sdp("RTP/AVP"))
    assert m.agreed == before
    assert ours(take_offer(m, line())) == ours(before)


def test_encrypted_line_tells_its_family() -> None:
    assert offered_family(sdp("RTP/SAVP", line())) == 4


def test_unknown_suite_in_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown crypto suite NULL"):
        MediaSettings.model_validate({"srtp_suites": ["null"]})
    with pytest.raises(ValueError, match="none"):
        MediaSettings.model_validate({"srtp_suites": []})
    assert MediaSettings.model_validate({"srtp_suites": ["aead_aes_128_gcm"] * 2}).srtp_suites == ("AEAD_AES_128_GCM",)


def test_warning_of_a_refusal_is_fit_for_a_header() -> None:
    m = machine("mandatory")
    with pytest.raises(SdpRefused) as refused:
        m.receive_offer(sdp("RTP/SAVP", *(f'{tag} X"\\Y_{tag} inline:{KEY}' for tag in range(9)), line(rest=' "=1')))
    assert re.fullmatch(r"[\x20-\x7e]+", refused.value.warning_text) and not set('"\\') & set(refused.value.warning_text)
