"""What parsing and building cost: `python -m tests.load.bench_sip_message`.

`cold` gives the parser a new caller, branch, tag and Call-ID each time, as the first message of every call does; `warm` the same
message again, as its retransmission does. The floor is what Python needs to decode the octets and split the lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sip.message import StreamParser, build_message, parse_message

_SDP = (
    b"v=0\r\no=- 3747 3747 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 101\r\n"
    b"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"
)
_HEAD = (
    "INVITE sip:+1555{n:07d}@pbx.example.com:5060;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-524287-1---{n:08x};rport\r\n"
    "Max-Forwards: 70\r\nContact: <sip:alice@192.0.2.10:5060;transport=udp>\r\n"
    'To: <sip:+1555{n:07d}@pbx.example.com>\r\nFrom: "Alice" <sip:alice@pbx.example.com>;tag=a{n:08x}\r\n'
    "Call-ID: 1j9FpLxk3uxtm8tn-{n}@192.0.2.10\r\nCSeq: 1 INVITE\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO\r\nContent-Type: application/sdp\r\n"
    "Supported: replaces, norefersub, extended-refer, timer, 100rel\r\nUser-Agent: Examplephone 5.2.1 rv2.10\r\n"
    'P-Asserted-Identity: "Alice" <sip:alice@pbx.example.com>\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n'
    "Allow-Events: presence, kpml, talk\r\nContent-Length: {length}\r\n\r\n"
)


def invite(number: int) -> bytes:
    return _HEAD.format(n=number, length=len(_SDP)).encode() + _SDP


def _split(data: bytes) -> None:
    for line in data.decode().split("\r\n"):
        line.partition(":")


def microseconds(function: Callable[[bytes], object], messages: list[bytes], rounds: int = 7) -> float:
    """The best of several rounds, CPU time per call."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        for message in messages:
            function(message)
        best = min(best, time.process_time() - begin)
    return best / len(messages) * 1e6


def main() -> None:
    size = len(invite(0))
    warm = [invite(0)] * 3000
    cold = [invite(number) for number in range(20_000)]
    parsed = {data: parse_message(data) for data in warm[:1]}
    stream = StreamParser()
    floor = microseconds(_split, warm)
    fresh = [cold[at : at + 2500] for at in range(0, len(cold), 2500)]
    rows = {
        "floor: decode and split": floor,
        "parse_message, warm": microseconds(parse_message, warm),
        "parse_message, cold": min(microseconds(parse_message, batch, rounds=1) for batch in fresh),
        "StreamParser, warm": microseconds(stream.feed, warm),
        "build_message": microseconds(lambda data: build_message(parsed[data]), warm),
    }
    print(f"INVITE of {size} octets, microseconds of CPU each (and times the floor)")
    for name, cost in rows.items():
        print(f"  {name:26}{cost:8.1f}{cost / floor:8.1f}")


if __name__ == "__main__":
    main()
