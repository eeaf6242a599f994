"""How the parameters of a request to an application are written: behind a URL's query, or as a form (behaviour 1.7)."""

from __future__ import annotations

from urllib.parse import urldefrag, urlencode

from server.calls.effects import Parameters


def encode_get(url: str, parameters: Parameters) -> str:
    """The URL with the parameters behind its own query; a fragment is never sent."""
    bare = urldefrag(url).url
    if not parameters:
        return bare
    joint = "?" if "?" not in bare else "" if bare.endswith(("?", "&")) else "&"
    return bare + joint + _encode(parameters)


def encode_form(parameters: Parameters) -> bytes:
    """A body of application/x-www-form-urlencoded: UTF-8, a space is a plus."""
    return _encode(parameters).encode("ascii")


def _encode(parameters: Parameters) -> str:
    return urlencode(parameters, encoding="utf-8", errors="replace")
