"""Encrypted legs in call control: the server's rule, and that of a trunk for its own calls."""

from __future__ import annotations

import base64

import msgspec
import pytest

from media import engine
from media.sdp.crypto import build_crypto
from media.settings import MediaSettings, SrtpPolicy
from server.calls.policy import Application
from server.calls.targets import Outbound
from sip.core import commands
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import VOICE, Bench, dial

SUITE = "AES_CM_128_HMAC_SHA1_80"
CRYPTO = "crypto:" + build_crypto(1, SUITE, base64.b64encode(bytes(range(30))).decode())
SECURE = sdp("192.0.2.7", 4000, "0", CRYPTO).replace(b"RTP/AVP", b"RTP/SAVP")


def audio_line(body: bytes) -> str:
    return next(line for line in body.decode().splitlines() if line.startswith("m=audio"))


@pytest.mark.parametrize(
    ("server", "trunk", "protocol", "lines"),
    [
        ("forbidden", None, "RTP/AVP", False),
        ("forbidden", "mandatory", "RTP/SAVP", True),
        ("mandatory", "forbidden", "RTP/AVP", False),
        ("optional", None, "RTP/AVP", True),
        ("forbidden", "optional", "RTP/AVP", True),
    ],
)
def test_a_number_is_dialled_as_its_trunk_wants_it(server: SrtpPolicy, trunk: SrtpPolicy | None, protocol: str, lines: bool) -> None:
    outbound = Outbound("carrier", ("sip:gw.example.com:5070",), srtp=trunk)
    rule = Application("2222", VOICE, srtp="optional")
    bench = Bench(dial("<Number>1234</Number>"), outbound=outbound, media=MediaSettings(srtp=server), application=rule)
    (invite,) = bench.of(commands.SendInvite)
    assert audio_line(invite.body).split()[2] == protocol
    assert (b"a=crypto" in invite.body) is lines


def test_a_sip_target_is_dialled_by_the_server_s_own_rule() -> None:
    outbound = Outbound("carrier", ("sip:gw.example.com:5070",), srtp="mandatory")
    bench = Bench(dial("<Sip>sip:alice@192.0.2.8</Sip>"), outbound=outbound)
    assert audio_line(bench.of(commands.SendInvite)[0].body).split()[2] == "RTP/AVP"


def test_a_caller_of_a_trunk_that_must_encrypt_is_refused_in_the_clear() -> None:
    bench = Bench(dial("<Number>1234</Number>"), application=Application("2222", VOICE, srtp="mandatory"))
    assert bench.of(commands.SendInvite) == []
    assert [reject.status for reject in bench.of(commands.SendReject)] == [488]


def test_each_leg_is_encrypted_by_itself_and_the_engine_is_given_its_keys() -> None:
    rule = Application("2222", VOICE, srtp="mandatory")
    bench = Bench(dial("<Number>1234</Number>"), application=rule, offer=SECURE)
    bench.answer(0)
    caller = bench.engine.connects[bench.sid]
    callee = bench.engine.connects[bench.leg(0)]
    assert isinstance(caller.srtp, engine.SrtpKeys) and caller.srtp.suite == SUITE
    assert callee.srtp is msgspec.UNSET
    told = {note.leg: note.data["encryption"] for note in bench.notes if note.data.get("event") == "connected"}
    assert sorted(map(str, told.values())) == [SUITE, "none"]


def test_a_peer_that_refuses_keys_under_avp_is_asked_once_more_under_savp__rfc4568() -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=Outbound("carrier", ("sip:gw.example.com:5070",), srtp="optional"))
    bench.fail(0, 488)
    first, second = bench.of(commands.SendInvite)
    assert [audio_line(one.body).split()[2] for one in (first, second)] == ["RTP/AVP", "RTP/SAVP"]
    assert second.session != first.session and second.request_uri == first.request_uri
    assert first.body.partition(b"a=crypto")[2] != second.body.partition(b"a=crypto")[2], "keys are not used twice"
    bench.fail(1, 488)
    assert len(bench.of(commands.SendInvite)) == 2
    bench.run(0.1)
    assert [one.status for one in bench.of(commands.SendReject)] == [488]


@pytest.mark.parametrize("rule", ["forbidden", "mandatory"])
def test_another_rule_is_not_tried_another_way(rule: SrtpPolicy) -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=Outbound("carrier", ("sip:gw.example.com:5070",), srtp=rule))
    bench.fail(0, 488)
    assert len(bench.of(commands.SendInvite)) == 1


def test_the_fallback_proxy_is_asked_by_the_rule_of_the_trunk_again() -> None:
    outbound = Outbound("carrier", ("sip:gw1.example.com", "sip:gw2.example.com"), srtp="optional")
    bench = Bench(dial("<Number>1234</Number>"), outbound=outbound)
    bench.fail(0, 488)
    bench.fail(1, 503)
    assert [audio_line(one.body).split()[2] for one in bench.of(commands.SendInvite)] == ["RTP/AVP", "RTP/SAVP", "RTP/AVP"]
