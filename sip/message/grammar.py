"""The words of RFC 3261 section 25 as regular expressions, shared by the parsers of this package.

Every pattern runs in linear time on any input: repetitions are possessive (`*+`) or their alternatives exclude one another.
White space is SP and HTAB only: folding is undone before a value gets here, and Python's `\\s` would match U+00A0 and friends.
"""

from __future__ import annotations

import re

# token = 1*( alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"
TOKEN_OCTETS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")
# What ends a word: white space and control characters (a range for inside [...]). Not `\s`, which has U+0085 and U+00A0 too.
BLANK = r"\x00-\x20\x7f"
# quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
QUOTED = r'"(?:[^"\\]|\\.)*+"'
# host = hostname / IPv4address / IPv6reference. "_" is no hostname character, but container and Windows names have it.
HOST = r"(?:[A-Za-z0-9._\-]++|\[[0-9A-Fa-f:.]++\])"

token_re = re.compile(TOKEN)
# Control characters: only HTAB, and what a backslash quotes inside a quoted-string, may stand in a field.
CONTROL_OCTETS = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0D})
unquoted_control_re = re.compile(rb"(?<!\\)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_quoted_pair_re = re.compile(r"\\(.)", re.DOTALL)
_needs_quoted_pair_re = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')


def is_token(text: str) -> bool:
    """Whether `text` may stand where the grammar wants a token: a method, a header name, an option tag."""
    return token_re.fullmatch(text) is not None


def unquote(text: str) -> str:
    """The content of a quoted-string with its quoted-pairs undone; any other text comes back as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
        return _quoted_pair_re.sub(r"\1", text) if "\\" in text else text
    return text


def quote(text: str) -> str:
    """A quoted-string that holds `text`. CR and LF cannot be said in one: `build_message` refuses them."""
    return '"' + _needs_quoted_pair_re.sub(r"\\\g<0>", text) + '"'


def quote_unless_token(text: str) -> str:
    """`text` itself where it is a token, else as a quoted-string: how a gen-value is written."""
    return text if token_re.fullmatch(text) else quote(text)
