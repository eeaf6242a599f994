"""Messages that the tests of this folder bend."""

from __future__ import annotations

from pathlib import Path

TORTURE = Path(__file__).parents[3] / "vectors" / "sip" / "torture"

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"


def invite(*extra: str, body: bytes = SDP, content_length: str | None = "auto", drop: str = "") -> bytes:
    """A plain INVITE.

    Args:
        extra: further header lines, before Content-Length.
        content_length: the field's value; None leaves the field out, "auto" counts.
        drop: name of a header field to leave out.
    """
    lines = [
        "INVITE sip:bob@biloxi.example.com SIP/2.0",
        "Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bK776asdhds;rport",
        "Max-Forwards: 70",
        "To: Bob <sip:bob@biloxi.example.com>",
        'From: "Alice" <sip:alice@atlanta.example.com>;tag=1928301774',
        "Call-ID: a84b4c76e66710@pc33.atlanta.example.com",
        "CSeq: 314159 INVITE",
        "Contact: <sip:alice@pc33.atlanta.example.com>",
        "Content-Type: application/sdp",
        *extra,
    ]
    if content_length is not None:
        lines.append(f"Content-Length: {len(body) if content_length == 'auto' else content_length}")
    if drop:
        lines = [line for line in lines if not line.startswith(f"{drop}:")]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def with_field(name: str, value: str) -> bytes:
    """The INVITE with the value of one of its fields replaced; the value may hold folds."""
    lines = invite().partition(b"\r\n\r\n")[0].decode().split("\r\n")
    lines = [f"{name}: {value}" if line.startswith(f"{name}:") else line for line in lines]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + SDP


RESPONSE = (
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bK776asdhds\r\n"
    b"To: Bob <sip:bob@biloxi.example.com>;tag=a6c85cf\r\nFrom: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\nCSeq: 314159 INVITE\r\nContent-Length: 0\r\n\r\n"
)
