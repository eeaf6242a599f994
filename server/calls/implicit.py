"""The document of a call that has no application: a client calls another, or a number, or is called (behaviour.md 1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from rcml.verbs.nouns import RESERVED_HEADERS

CLIENT = "client:"


def implicit_document(dials: str, headers: Iterable[tuple[str, str]]) -> str:
    """RCML that dials one number, or `client:NAME`, and hands the caller's own header fields X-... on.

    headers: of the INVITE that came.
    """
    own = [(name, value) for name, value in headers if name.lower().startswith("x-") and not name.lower().startswith(RESERVED_HEADERS)]
    told = "&".join(f"{name}={quote(value, safe='')}" for name, value in own)
    noun, who = ("Client", dials.removeprefix(CLIENT)) if dials.startswith(CLIENT) else ("Number", dials)
    text = (f"{who}?{told}" if told else who).replace("&", "&amp;").replace("<", "&lt;")
    return f"<Response><Dial><{noun}>{text}</{noun}></Dial></Response>"
