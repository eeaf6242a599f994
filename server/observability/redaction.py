"""What must not be read in logs and timelines: credentials always, numbers and addresses as the operator chooses. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"
Level = Literal["none", "numbers", "all"]

# Header fields whose value proves who someone is. A folded value goes on in lines that begin with a blank (RFC 3261 7.3.1).
_CREDENTIALS = re.compile(
    r"^((?:Proxy-)?Authorization|Authentication-Info)([ \t]*:[ \t]*)([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_WHO = re.compile(r'\b(?:username|realm)="[^"]*"', re.IGNORECASE)
# sip:user:password and http://user:password before an `@`; longer ones are no passwords but garbage.
_USERINFO = re.compile(r"(.*\b(?:sips?:|https?://)[^:/?;]{0,128}):[^/]{1,128}", re.IGNORECASE)
_LONGEST_USERINFO = 300
_BEFORE_USERINFO = re.compile(r".*[\s<>\"',]", re.DOTALL)
_ONLY_SCHEME = re.compile(r"(?:^|[^\w/:])sips?$", re.IGNORECASE)
_BLANK = re.compile(r"\s")
_LONGEST_FACT = 4096
# password=... of a URL's query or a form; a=b pairs with such names.
_SECRET_PAIR = re.compile(r"(?i)(?P<name>(?<![A-Za-z0-9])(?:password|passwd|pwd|secret|token|api_?key|auth_?token)=)[^&\s\"'<>;]+")
# password="..." as an attribute of a document's <Sip>.
_SECRET_ATTRIBUTE = re.compile(r"(?i)\b(?P<name>password\s*=\s*)(?P<quote>[\"'])[^\"'<]*(?P=quote)")
_SECRET_WORDS = ("passw", "pwd", "secret", "token", "apikey", "api_key")  # one of these is in all that the two patterns find
_SECRET_NAME = re.compile(r"(?i)(?:^|[_\-.])(?:password|passwd|pwd|secret|token|api_?key|auth_?token)$|authtoken$")
# Keys in SDP: every one of an a=crypto line, however it is spaced (RFC 4568 9.1), and those of the old k= (RFC 4566 5.12).
_KEYS = re.compile(r"(?i)(inline:)[A-Za-z0-9+/=_\-]+|(?<![^\r\n])(k=(?:clear|base64|uri):)[^\r\n]+")
# Five digits and more, with the separators that people write between them.
_NUMBER = re.compile(r"(?<![\w.\-:])\+?\d(?:[\-. ()]{0,2}\d){4,}(?![\w\-])")
_IPV4 = re.compile(r"\b(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}\b")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,7}(?![\w:])")


def hide_sip_secrets(raw: str) -> str:
    """A SIP message without what a stranger could use: digest responses, passwords in URIs, SRTP keys.

    The scheme, user and realm of credentials stay: they are what one looks for when a challenge fails.
    """
    lower = raw.lower()
    if "authorization" in lower or "authentication-info" in lower:
        raw = _CREDENTIALS.sub(_credentials, raw)
    if "inline:" in lower or "k=" in lower:
        raw = _KEYS.sub(rf"\1\2{HIDDEN}", raw)
    return hide_secrets(raw)


def _credentials(found: re.Match[str]) -> str:
    name, colon, value = found.groups()
    scheme = "".join(value.split(maxsplit=1)[:1])
    return f"{name}{colon}{scheme} " + ", ".join([*_WHO.findall(value), HIDDEN])


def hide_secrets(text: str) -> str:
    """A text without the passwords in URLs, URIs and attributes, and without the values of pairs that are named like a secret."""
    if "@" in text:
        text = _hide_userinfo(text)
    lower = text.lower()
    if any(word in lower for word in _SECRET_WORDS):
        text = _SECRET_ATTRIBUTE.sub(rf"\g<name>\g<quote>{HIDDEN}\g<quote>", text)
        text = _SECRET_PAIR.sub(rf"\g<name>{HIDDEN}", text)
    return text


def _hide_userinfo(text: str) -> str:
    """Looks back from each `@`, as every message holds several of them and few hold a password."""
    parts = text.split("@")
    for index, part in enumerate(parts[:-1]):
        colon = part.rfind(":")
        if colon < 0 or _ONLY_SCHEME.search(part[max(0, colon - 6) : colon]) or _BLANK.search(part, colon):
            continue  # sip:user@, or no part of a URI at all
        tail = part[-_LONGEST_USERINFO:]
        if (before := _BEFORE_USERINFO.match(tail)) is not None:
            tail = tail[before.end() :]
        if (found := _USERINFO.fullmatch(tail)) is not None:
            parts[index] = f"{part[: len(part) - len(tail)]}{found[1]}:{HIDDEN}"
    return "@".join(parts)


def hide_url_secrets(url: str) -> str:
    """A URL to be shown: without its password. The user stays."""
    try:
        parts = urlsplit(url)
        if parts.password is not None:
            place = parts.netloc.rpartition("@")[2]
            url = urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{HIDDEN}@{place}"))
    except ValueError:
        pass
    return hide_secrets(url)


@functools.lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a parameter or field of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def redact(text: str, level: Level = "numbers") -> str:
    """A text for a log line: numbers keep their last three digits, addresses their first half.

    level: "none" changes nothing; "numbers" hides telephone numbers; "all" IP addresses too.
    """
    if level == "none":
        return text
    if level == "all":
        text = _IPV6.sub(_shorter_ipv6, _IPV4.sub(r"\1.\2.x.x", text))
    return _NUMBER.sub(_shorter_number, text)


def _shorter_number(found: re.Match[str]) -> str:
    number = found[0]
    if _IPV4.fullmatch(number):
        return number
    plus = "+" if number.startswith("+") else ""
    digits = [character for character in number if character.isdigit()]
    return f"{plus}{HIDDEN}{''.join(digits[-3:])}"


def _shorter_ipv6(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:  # a time of day
        return found[0]
    return ":".join([*[part for part in found[0].split(":")[:2] if part], ":x"])


def redact_fields(facts: Mapping[str, object], level: Level) -> dict[str, object]:
    """The facts of a log line, redacted. Sids and hashes are no numbers and stay."""
    shown: dict[str, object] = {}
    for key, value in facts.items():
        if is_secret_name(key):
            shown[key] = HIDDEN
        elif isinstance(value, str):
            shown[key] = redact(hide_secrets(value[:_LONGEST_FACT]), level)
        else:
            shown[key] = value
    return shown
