"""Any bytes give a description or an SdpError; any offer is answered by a readable description or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.engine import Codec
from media.sdp.codecs import DESCRIPTORS, is_relayed, is_voice
from media.sdp.description import SdpError, build_description, extract_sdp, parse_description
from media.sdp.offer_answer import LocalMedia, OfferAnswer, SdpRefused, offered_family
from media.settings import CODECS, KNOWN_CODECS, MediaSettings, SrtpPolicy

pytestmark = pytest.mark.fuzz

OTHER_LEG = [descriptor.codec(descriptor.payload_type, "") for one_name in DESCRIPTORS.values() for descriptor in one_name]
SEEDS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "vectors" / "sdp").glob("*.txt"))]
LINES = sorted({line for seed in SEEDS for line in seed.split(b"\n")})

mutated_lines = st.one_of(
    st.sampled_from(LINES),
    st.binary(max_size=40),
    st.tuples(st.sampled_from(LINES), st.binary(max_size=8), st.integers(0, 60)).map(lambda t: t[0][: t[2]] + t[1] + t[0][t[2] :]),
)
descriptions = st.one_of(
    st.binary(max_size=400),
    st.lists(mutated_lines, max_size=14).map(
        lambda lines: b"v=0\no=- 1 1 IN IP4 198.51.100.1\nc=IN IP4 198.51.100.1\n" + b"\n".join(lines)
    ),
)


@settings(max_examples=300, deadline=None)
@given(descriptions)
def test_any_bytes_give_a_description_or_an_sdp_error(data: bytes) -> None:
    try:
        description = parse_description(data)
    except SdpError as broken:
        assert broken.reason
        return
    assert parse_description(build_description(description)) == description


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["forbidden", "optional", "mandatory"]),
    st.sampled_from([CODECS, KNOWN_CODECS]),
    st.lists(st.sampled_from(OTHER_LEG), max_size=3),
    st.lists(st.tuples(st.sampled_from(["offer", "answer", "ours"]), descriptions), max_size=5),
)
def test_any_exchange_leaves_readable_descriptions_and_an_agreement_that_holds(
    policy: SrtpPolicy, codecs: tuple[str, ...], prefer: list[Codec], steps: list[tuple[str, bytes]]
) -> None:
    machine = OfferAnswer(MediaSettings(codecs=codecs), LocalMedia("192.0.2.10", 20000, 20001), 1, random_bytes=bytes, srtp=policy)
    machine.offer()
    for kind, data in steps:
        offered_family(data)
        try:
            if kind == "offer":
                machine.receive_offer(data)
                text, agreed = machine.answer(prefer)
                assert any(not is_relayed(codec) for codec in agreed.voices)
                assert len(parse_description(text).media) == len(parse_description(data).media)
            elif kind == "answer":
                agreed = machine.receive_answer(data)
            else:
                assert parse_description(machine.offer(prefer)).media
                continue
        except SdpRefused as refused:
            assert refused.status in (400, 488)
            assert refused.warning_text.isascii() and refused.warning_text.isprintable() and '"' not in refused.warning_text
            continue
        command = agreed.connect_command("s", latch=True, media_timeout_ms=0, inband_digits=True)
        assert is_voice(agreed.codecs[0]) and is_voice(command.codecs[0])
        assert command.ptime_ms in range(10, 61, 10)
        assert agreed.srtp or policy != "mandatory"
        assert not agreed.srtp or policy != "forbidden"
        assert 0 < agreed.remote_port <= 65535 and 0 < agreed.remote_rtcp_port <= 65535


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.one_of(st.text(max_size=60), st.just("multipart/mixed; boundary=b")))
def test_any_body_holds_a_description_or_none_or_is_refused(body: bytes, content_type: str) -> None:
    for candidate in (body, b"--b\r\nContent-Type: application/sdp\r\n\r\n" + body + b"\r\n--b--"):
        try:
            found = extract_sdp(candidate, content_type)
        except SdpRefused as refused:
            assert refused.status == 400
            continue
        assert found is None or found in candidate
