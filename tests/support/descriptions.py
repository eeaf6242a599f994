"""Session descriptions of phones, for tests."""

from __future__ import annotations


def sdp(host: str, port: int = 4000, codecs: str = "0 8 101", *attributes: str) -> bytes:
    """A phone's description: PCMU, PCMA and telephone-event unless `codecs` says otherwise. Opus has the number 111."""
    lines = ["v=0", f"o=phone 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", f"m=audio {port} RTP/AVP {codecs}"]
    lines += ["a=rtpmap:101 telephone-event/8000", *(["a=rtpmap:111 opus/48000/2"] if "111" in codecs.split() else [])]
    lines += [*(f"a={attribute}" for attribute in attributes), "a=sendrecv"]
    return ("\r\n".join(lines) + "\r\n").encode()
