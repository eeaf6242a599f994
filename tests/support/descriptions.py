"""Session descriptions of phones, for tests."""

from __future__ import annotations


def sdp(host: str, port: int = 4000, codecs: str = "0 8 101") -> bytes:
    """A phone's description: PCMU, PCMA and telephone-event unless `codecs` says otherwise."""
    lines = ["v=0", f"o=phone 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP {codecs}"]
    lines += ["a=rtpmap:101 telephone-event/8000", "a=sendrecv"]
    return ("\r\n".join(lines) + "\r\n").encode()
