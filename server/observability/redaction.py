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

# --- patterns: what is written however its author likes to write it ----------------------------------------------------
#
# Every pattern runs in time that grows with the text and no faster: what repeats inside one is bounded, or is consumed by the match.

# In a name (of a header field, parameter, member, element ...) it says that the value is a secret. `tokens_left` is a number.
_PLAIN_WORD = (
    r"(?i:passw(?:or)?ds?|passphrase|passcode|pwd|secrets?|token|cookies?|credentials?|bearer|jwt|signature|[jp](?:hp)?sess(?:ion)?id"
    r"|(?:api|access|auth|private|secret)[_\-. ]?key)(?![a-z])"
)
_WORD = rf"(?:{_PLAIN_WORD}|(?i:authori[sz]ation)(?![a-z]))"
_REST = r"[\w.\-\[\]]{0,64}"  # of the name
# A quoted value ends with its own kind of quote (which may be escaped, in JSON inside JSON), or where the text was cut.
_QUOTED = r"(?P<quote>\\?[\"'])(?:(?!(?P=quote))(?:\\.|[^\r\n]))*"
# "name": "value", name = 'value', name=value, name%3Dvalue; `&`, `;` and blanks end a bare one.
_PAIR = re.compile(
    rf"(?P<name>{_WORD}{_REST}(?:\\?[\"']\s{{0,16}}[:=]>?|\s{{0,16}}(?:=>?|%3[Dd]))\s{{0,16}})(?:{_QUOTED}|(?!%26)[^\s&\"'<>;\\](?:(?!%26)[^\s&\"'<>;\\])*)"
)
# name: value in the midst of a text; at the begin of a line it is a field, and all of it goes.
_COLON = re.compile(rf"(?P<name>{_PLAIN_WORD}{_REST}\s{{0,16}}:\s{{0,16}})(?:{_QUOTED}|[^\s&\"'<>;,}}\\]+)")
_FIELD = re.compile(
    rf"^(?P<name>[ \t]{{0,16}}[\w.\-]{{0,64}}?{_PLAIN_WORD}[\w.\-]{{0,64}}[ \t]{{0,16}}:[ \t]*)[^\s][^\r\n]*(?:\r?\n[ \t]+[^\r\n]+)*",
    re.MULTILINE,
)
_ELEMENT = re.compile(rf"(?P<name><[\w.:\-]{{0,64}}?{_WORD}{_REST}(?:\s[^<>]{{0,512}})?>)(?:<!\[CDATA\[)?[^<]+")
_FORM_PART = re.compile(rf"(?P<name>\bname=\\?[\"']?[\w.\-]{{0,64}}?{_WORD}[^\r\n]{{0,512}}(?:\r?\n[^\r\n]+){{0,8}}\r?\n\r?\n)[^\r\n]+")
_BEARER = re.compile(r"(?i)(?P<name>\bbearer(?:\s|%20|\+)+)(?=[^\s\"'<>]*[\d._=])[^\s\"'<>,;]+")
# Header fields whose value proves who someone is. A folded value goes on in lines that begin with a blank (RFC 3261 7.3.1).
_CREDENTIALS = re.compile(
    r"^([ \t]*(?:Proxy-)?Authori[sz]ation|[ \t]*Authentication-Info)([ \t]*:[ \t]*)([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_SCHEMES = frozenset(("digest", "basic", "bearer", "ntlm", "negotiate", "token", "apikey"))
_WHO = re.compile(r'\b(?:username|realm)="[^"]*"', re.IGNORECASE)
# Keys in SDP: every one of an a=crypto line, however it is spaced (RFC 4568 9.1), those of a=key-mgmt (RFC 4567 3.1) and of the old
# k= (RFC 4566 5.12). The password of ICE is found by its name.
_KEYS = re.compile(r"(?i)(inline:)[A-Za-z0-9+/=_\-]+|(key-mgmt:\s*\w+\s+)[A-Za-z0-9+/=]+|(?<![^\r\n])(k=(?:clear|base64|uri):)[^\r\n]+")
# sip:user:password and scheme://user:password before an `@`; longer ones are no passwords but garbage.
_USERINFO = re.compile(r"(.*\b(?:sips?:|[a-z][a-z0-9+.\-]{0,20}://)[^:/?;]{0,128}):[^/]{1,1024}", re.IGNORECASE)
_LONGEST_USERINFO = 1200
_BEFORE_USERINFO = re.compile(r".*[\s<>\"',]", re.DOTALL)
_ONLY_SCHEME = re.compile(r"(?:^|[^\w/:])sips?$", re.IGNORECASE)
# What a caller pressed or said may be a PIN: parameters of a verb's action, and the body of an INFO with a key.
_OF_A_CALLER = frozenset(("digits", "speechresult", "unstablespeechresult"))
_SIGNAL = re.compile(r"(?im)^([ \t]*Signal[ \t]*=[ \t]*)[0-9A-D*#]+")
_BARE_SIGNAL = re.compile(
    r"(?i)(Content-Type:[ \t]*application/dtmf[ \t]*(?:;[^\r\n]*)?\r?\n(?:[^\r\n]+\r?\n){0,64}\r?\n\s{0,16})[0-9A-D*#]+"
)
_BLANK = re.compile(r"\s")
_LONGEST_FACT = 4096

_SECRET_NAME = re.compile(_WORD)
# Five digits and more, with the separators that people write between them.
_NUMBER = re.compile(r"(?<![\w.\-:])\+?\d(?:[\-. ()]{0,2}\d){4,}(?![\w\-])")
_IPV4 = re.compile(r"\b(\d{1,3})\.(\d{1,3})\.\d{1,3}\.\d{1,3}\b")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,7}(?![\w:])")


def hide_secrets(text: str) -> str:
    """A text without what a stranger could use: a SIP message, a URL, a document, a form, an error's words.

    Passwords in URIs, keys of media, credentials, and every value whose name says that it is a secret, however name and value are
    written. The scheme, user and realm of credentials stay: they are what one looks for when a challenge fails.
    """
    if text.isalnum():
        return text
    if _may_hold_userinfo(text):
        text = _hide_userinfo(text)
    return _hide_named(text) if _is_suspicious(text.lower()) else text


def _is_suspicious(lower: str) -> bool:
    """Whether a text, in small letters, holds a part of what the patterns look for. Most hold none, and each `in` is a fifth of a
    microsecond for a message; one pattern for all of them takes ten times as long as this chain."""
    return (
        ("pass" in lower or "pwd" in lower or "secret" in lower or "token" in lower or "cookie" in lower or "key" in lower)
        or ("auth" in lower or "credential" in lower or "bearer" in lower or "inline:" in lower or "signature" in lower)
        or ("k=" in lower or "jwt" in lower or "sessid" in lower or "sessionid" in lower)
    )


def _hide_named(text: str) -> str:
    text = _CREDENTIALS.sub(_credentials, text)
    text = _KEYS.sub(_key, text)
    for pattern in (_FIELD, _FORM_PART, _PAIR, _COLON, _ELEMENT, _BEARER):
        text = pattern.sub(_value, text)
    return text


def _value(found: re.Match[str]) -> str:
    return found["name"] + (found.groupdict().get("quote") or "") + HIDDEN


def _key(found: re.Match[str]) -> str:
    return "".join(filter(None, found.groups())) + HIDDEN


def _credentials(found: re.Match[str]) -> str:
    name, colon, value = found.groups()
    scheme = "".join(value.split(maxsplit=1)[:1])
    if scheme.lower() not in _SCHEMES:  # Authentication-Info has none, and neither has who writes the secret alone
        return f"{name}{colon}{HIDDEN}"
    return f"{name}{colon}{scheme} " + ", ".join([*_WHO.findall(value), HIDDEN])


def _may_hold_userinfo(text: str) -> bool:
    """False when no `@` has a password before it: most follow `sip:user`, or a blank. True: look closely."""
    begin, end = 0, text.find("@")
    while end >= 0:
        colon = text.rfind(":", begin, end)
        if colon >= 0 and text[colon + 1] != " ":
            scheme = colon - 3
            if scheme < begin or text[scheme:colon] != "sip" or (scheme > begin and text[scheme - 1] not in '< "'):
                return True
        begin = end + 1
        end = text.find("@", begin)
    return False


def _hide_userinfo(text: str) -> str:
    """Looks back from each `@`: only what stands there can be one's password."""
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
    return _SECRET_NAME.search(name) is not None or name.lower() in _OF_A_CALLER


def hide_keys(message: str) -> str:
    """A SIP message without the key that its INFO brings."""
    if "dtmf" not in message.lower():
        return message
    return _BARE_SIGNAL.sub(rf"\g<1>{HIDDEN}", _SIGNAL.sub(rf"\g<1>{HIDDEN}", message))


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
