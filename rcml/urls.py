"""URLs as documents write them, made absolute."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

# RFC 3986 §3.1: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Never part of a URL, and never repaired: who writes one of these wrote a sentence or markup.
_NEVER = re.compile(r'[\x00-\x20\x7f-\xa0<>"]')
# A registered name without escapes; underscores are common between containers.
_HOST = re.compile(r"[A-Za-z0-9._~-]{1,255}")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_QUERY_SAFE = _PATH_SAFE + "?"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def resolve(base: str, reference: str) -> str:
    """Make a reference of a document absolute.

    Args:
        base: URL of the document.
        reference: as written, already trimmed.
    Returns:
        An http or https URL in ASCII, without fragment. What only needs escaping (umlauts, braces) is escaped.
    Raises:
        ValueError: it is no URL of the web; the text says why (the application's fault).
    Source: RFC 3986 §4.2, §5.2; RFC 3987 §3.1.
    """
    if not reference:
        raise ValueError("it is empty")
    if bad := _NEVER.search(reference):
        what = "white space" if bad[0].isspace() else f"the character {bad[0]!r}"
        raise ValueError(f"a URL cannot hold {what}")
    absolute = _SCHEME.match(reference) is not None
    if not absolute and ":" in re.split(r"[/?#]", reference, maxsplit=1)[0]:
        raise ValueError("what stands before its first colon is no scheme")  # §4.2: "this:that" is no relative path
    parts = urlsplit(reference if absolute else urljoin(base, reference))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"its scheme is {parts.scheme or 'missing'}, not http or https")
    path = _LONE_PERCENT.sub("%25", quote(parts.path, safe=_PATH_SAFE))
    query = _LONE_PERCENT.sub("%25", quote(parts.query, safe=_QUERY_SAFE))
    return urlunsplit((parts.scheme, _authority(parts.netloc, parts.hostname, parts.port), path, query, ""))


def _authority(netloc: str, hostname: str | None, port: int | None) -> str:
    if not hostname:
        raise ValueError("it names no host")
    try:
        host = hostname if hostname.isascii() else hostname.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("its host is no name") from None
    if "%" in host:
        raise ValueError("its host is no name")
    if "[" in netloc:
        IPv6Address(host)  # raises ValueError
    elif not _HOST.fullmatch(host):
        raise ValueError("its host is no name")
    user, at, _ = netloc.rpartition("@")
    bracketed = f"[{host}]" if ":" in host else host
    return f"{quote(user, safe=_PATH_SAFE)}{at}{bracketed}" + (f":{port}" if port is not None else "")
