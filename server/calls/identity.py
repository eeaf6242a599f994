"""Who a call is said to be from, and whether that may be shown to whom it is passed on.

Three ways of asking for privacy are in use: Privacy (RFC 3323 4.2, RFC 3325 9.3), Remote-Party-ID's `privacy` (of networks that never
left the draft), and a From that is anonymous to begin with. What one of them withholds the others do not give away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sip.core.commands import HeaderList
from sip.errors import ParseError
from sip.message import Headers
from sip.message.fields import parse_list, parse_name_addr
from sip.message.uri import parse_uri

IdentityKind = Literal["pai", "rpid", "both"]
ANONYMOUS_URI = "sip:anonymous@anonymous.invalid"  # RFC 3323 4.1.1.3
ANONYMOUS_NAME = "Anonymous"
WITHHOLDING = frozenset(("id", "user", "header", "full"))  # `session` asks for what is done anyway: media is anchored here
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_RPID_PRIVACY = re.compile(r';\s*privacy\s*=\s*"?([A-Za-z;\-]+)', re.IGNORECASE)
_RPID_CALLED = re.compile(r';\s*party\s*=\s*"?called', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What the caller does not want to be shown. value: of the Privacy header for whoever comes next, "" for none.

    unknown: From names nobody, so that nothing can be asserted from it.
    """

    number: bool = False
    name: bool = False
    value: str = ""
    unknown: bool = False


NO_PRIVACY = Privacy()


def privacy_of(headers: Headers) -> Privacy:
    """Of an INVITE that came. `Privacy: none` forbids to withhold anything (RFC 3323 4.2)."""
    values = [value.lower() for text in headers.get_all("Privacy") for value in _TOKEN.findall(text)]
    if "none" in values:
        return Privacy(unknown=_is_anonymous(headers.get("From")))
    asked = not WITHHOLDING.isdisjoint(values)
    remote = {value for text in headers.get_all("Remote-Party-ID") for value in _remote_party_privacy(text)}
    number = asked or not remote.isdisjoint(("full", "uri"))
    unknown = _is_anonymous(headers.get("From"))
    withheld = number or unknown
    value = ";".join(dict.fromkeys(values)) or ("id" if number else "")
    return Privacy(withheld, withheld or "name" in remote, value, unknown)


def asserted_by(headers: Headers) -> str:
    """The identity that the network vouches for (RFC 3325 9.1), as a URI; "" for none. For peers only that are trusted.

    Remote-Party-ID counts where there is no P-Asserted-Identity: that of the calling party, which is what no `party` means.
    """
    fields = [text for field in headers.get_all("P-Asserted-Identity") for text in parse_list(field)]
    fields += [text for field in headers.get_all("Remote-Party-ID") for text in parse_list(field) if not _RPID_CALLED.search(text)]
    for text in fields:
        try:
            uri = parse_name_addr(text).uri
            if parse_uri(uri).scheme in ("sip", "sips", "tel"):
                return uri
        except ParseError:
            continue
    return ""


def identity_headers(headers: HeaderList, kind: IdentityKind, privacy: Privacy) -> HeaderList:
    """The assertion among these header fields, in the field that the trunk reads."""
    found: list[tuple[str, str]] = []
    for name, value in headers:
        if name != "P-Asserted-Identity" or kind != "rpid":
            found.append((name, value))
        if name == "P-Asserted-Identity" and kind != "pai":
            found.append(("Remote-Party-ID", f"{value};party=calling;screen=yes;privacy={'full' if privacy.number else 'off'}"))
    return tuple(found)


def _remote_party_privacy(field: str) -> Iterable[str]:
    """Found without taking the field apart: whoever asks for privacy in a broken one asks for it all the same."""
    for text in parse_list(field):
        if not _RPID_CALLED.search(text):
            yield from (value for found in _RPID_PRIVACY.findall(text) for value in found.lower().split(";"))


def _is_anonymous(value: str | None) -> bool:
    try:
        return parse_uri(parse_name_addr(value or "").uri).host.lower() == "anonymous.invalid"
    except ParseError:
        return False
