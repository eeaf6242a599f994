"""The ladder: what stands where, within its width, whatever the entries hold."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calls.effects import Json, Kind
from server.storage.rows import Entry
from server.timeline.ladder import render

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, tzinfo=datetime.UTC)
CALL, ALICE, BOB = ("CA" + digit * 32 for digit in "abc")
CALLER, CALLEE, OTHER = "192.0.2.7:5060", "192.0.2.9:5060", "198.51.100.2:5080"


def entry(at: float, kind: Kind, leg: str = "", **data: Json) -> Entry:
    return Entry(CALL, T0 + datetime.timedelta(seconds=at), kind, data, leg)


def sip(at: float, leg: str, direction: str, summary: str, peer: str, *, sdp: bool = False, repeated: bool = False) -> Entry:
    raw = "x\r\n\r\nv=0\r\nm=audio 4000 RTP/AVP 0\r\n" if sdp else "x\r\n\r\n"
    return entry(at, Kind.SIP, leg, direction=direction, peer=peer, transport="udp", summary=summary, raw=raw, repeated=repeated)


def http(at: float, elapsed_ms: int, **data: Json) -> Entry:
    facts: dict[str, Json] = {"purpose": "voice", "method": "POST", "url": "http://app.example.com/voice", "status": 200}
    facts |= {"content_type": "text/xml; charset=utf-8", "error": "", "elapsed_ms": elapsed_ms}
    facts |= data
    return Entry(CALL, T0 + datetime.timedelta(seconds=at), Kind.HTTP, facts)


CALL_OF_TWO = [
    sip(0, CALL, "in", "INVITE sip:1000@pbx", CALLER, sdp=True),
    sip(0.001, CALL, "out", "180 Ringing (INVITE)", CALLER),
    http(0.050, 40),
    entry(0.051, Kind.VERB, verb="Dial", line=3, timeout_s=30, action=""),
    sip(0.052, ALICE, "out", "INVITE sip:alice@x", CALLEE, sdp=True),
    sip(0.552, ALICE, "out", "INVITE sip:alice@x", CALLEE, sdp=True, repeated=True),
    sip(0.553, BOB, "out", "INVITE sip:bob@x", OTHER),
    sip(0.560, BOB, "in", "486 Busy Here (INVITE)", OTHER),
    sip(4.0, ALICE, "in", "200 OK (INVITE)", CALLEE, sdp=True),
    sip(4.0, ALICE, "out", "ACK sip:alice@x", "192.0.2.9:5099"),
    entry(4.001, Kind.MEDIA, event="bridge", first=CALL, second=ALICE),
    entry(5.0, Kind.NOTICE, code=13212, level="warning", message="bad timeout", line=3),
    sip(6.0, ALICE, "in", "BYE sip:pbx", CALLEE),
    entry(6.0, Kind.OUTCOME, event="call", cause="completed", by="callee", sip_status=0, text="", duration_s=6),
]
LINES = render(CALL_OF_TWO).splitlines()


def line(holding: str) -> str:
    found = [text for text in LINES if holding in text]
    assert len(found) == 1, (holding, found)
    return found[0]


def column(title: str) -> int:
    """Where a lane stands: under the middle of its title."""
    at = LINES[0].index(title) + len(title) // 2
    return next(x for x in (at, at - 1, at + 1) if LINES[2][x : x + 1] == "│")


def test_lanes_stand_in_order_under_their_names() -> None:
    assert LINES[0].split() == ["caller", "dialplane", "callee", "1", "callee", "2", "application"]
    assert LINES[1].split() == [CALLER, CALLEE, OTHER, "app.example.com"]
    assert LINES[2].count("│") == 5


def test_request_of_the_caller_points_to_us() -> None:
    text = line("0.000")
    assert text[column("caller")] == "│"
    assert text[column("dialplane") - 1] == "▶"
    assert "INVITE +SDP" in text


def test_our_response_points_to_the_caller() -> None:
    text = line("180 Ringing")
    assert text[column("caller") + 1] == "◀"
    assert "(INVITE)" not in text


def test_arrow_crosses_the_lanes_between() -> None:
    text = line("486 Busy Here")
    assert text[column("callee 1")] == "┼"
    assert text[column("dialplane") + 1] == "◀"


def test_exchange_is_drawn_when_it_began_and_when_it_ended() -> None:
    assert line("POST /voice").lstrip().startswith("0.010")
    assert line("200 text/xml 40 ms").lstrip().startswith("0.050")


def test_failed_exchange_says_why() -> None:
    assert "✗ timeout, 5000 ms" in render([http(5, 5000, status=0, error="timeout")])


def test_retransmission_is_marked() -> None:
    text = line("0.552")
    assert "↻ INVITE" in text
    assert "┄" in text


def test_other_place_of_a_leg_is_told() -> None:
    assert "ACK [:5099]" in line("ACK")


def test_legs_have_names_in_remarks() -> None:
    assert "♪ bridge caller ↔ callee 1" in line("bridge")


def test_remarks_leave_out_what_is_empty() -> None:
    assert "▸ Dial line 3: timeout 30 s " in line("Dial")
    assert "action" not in line("Dial")


def test_notice_and_outcome_are_in_words() -> None:
    assert "▲ 13212 bad timeout (line 3)" in line("13212")
    assert "■ call completed by callee, duration 6 s" in line("■")


def test_sids_and_paths_are_short() -> None:
    entries = [
        entry(0, Kind.MEDIA, CALL + "-2", event="play", what="/var/lib/dialplane/prompts/" + "0d17585a" * 5 + ".wav"),
        entry(0, Kind.MEDIA, event="record", recording="RE" + "b2120a00" * 4),
        entry(0, Kind.VERB, verb="Dial", action="http://app.example.com/a/b/c"),
    ]
    text = render(entries, 200)
    assert "caller play: what 0d17585a0d17…585a.wav" in text
    assert "recording REb2120a…" in text
    assert "action http://app.example.com/a/b/c" in text


def test_silence_is_shown() -> None:
    assert line("3.4 s").count("⋮") == 5


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_width_is_kept(width: int) -> None:
    lines = render(CALL_OF_TWO, width).splitlines()
    assert max(map(len, lines)) <= width


def test_legs_without_room_share_a_lane_and_say_whose_they_are() -> None:
    legs = ["CA" + f"{n:032d}" for n in range(10)]
    entries = [sip(n / 100, leg, "out", "INVITE sip:x", f"192.0.2.{n}:5060") for n, leg in enumerate(legs)]
    text = render(entries, 80)
    assert "callees 2-10" in text or "callees 1-10" in text
    assert "#10 INVITE" in text
    assert max(map(len, text.splitlines())) <= 80


def test_plain_characters_for_plain_terminals() -> None:
    text = render(CALL_OF_TWO, ascii_only=True)
    assert text.isascii()
    assert "-->|" in text or "->|" in text


def test_colours_change_nothing_but_colours() -> None:
    import re

    assert re.sub(r"\x1b\[\d*m", "", render(CALL_OF_TWO, color=True)) == render(CALL_OF_TWO)


def test_peers_cannot_write_to_the_terminal() -> None:
    text = render([sip(0, CALL, "in", "INVITE\x1b[2J\x07\r\n\x9b1m x", "\x1b]0;owned\x07:1")])
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == 4


def test_nothing_gives_nothing() -> None:
    assert render([]) == ""


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
keys = st.sampled_from(
    "direction peer summary raw url status elapsed_ms error verb line event cause first second code x_s".split()  # noqa: SIM905
)


@given(
    st.lists(
        st.builds(
            Entry,
            st.just(CALL),
            st.datetimes(T0.replace(tzinfo=None), timezones=st.just(datetime.UTC)),
            st.sampled_from(Kind),
            st.dictionaries(keys, json, max_size=6),
            st.sampled_from(["", CALL, ALICE, BOB]),
        ),
        max_size=8,
    ),
    st.integers(1, 200),
)
def test_any_entries_give_a_diagram_within_its_width(entries: list[Entry], width: int) -> None:
    for text in render(entries, width).split("\n"):
        assert len(text) <= max(80, width)
        assert text.isprintable()
