"""Keys for encrypted media, agreed on in session descriptions (SDES): `a=crypto` lines, and who uses which key. Pure.

Each side names the key of what *it* sends; an offer has a line for each suite that the offerer can do, the answer has the one
it took. The keys are as secret as the path that the descriptions take: over plain UDP everyone on the way reads them. So
nothing here that holds a key shows it (`repr`), and the server hides keys in what it keeps (`server.observability.redaction`).

What a policy means, per stream:

               offers we make                 offers we get
    forbidden  RTP/AVP                        RTP/AVP alone; a=crypto beside it is not seen
    optional   RTP/AVP with a=crypto          RTP/SAVP encrypted; RTP/AVP with a=crypto encrypted, without plain
    mandatory  RTP/SAVP                       RTP/SAVP, or RTP/AVP with a=crypto, both encrypted

RTP/AVP with a=crypto is the opportunistic form of RFC 8643: whoever does not know it answers without, and talks plain.

Our key of a suite stays for the session, also over re-INVITEs: then the peer's roll-over counter of our stream goes on
undisturbed. It is made anew in two cases, in which the peer cannot know that counter (RFC 4568 7.1.4): when we answer an
offer in which the peer's own key is another one, so that it began a new context; and when our address is another one.

Key identifiers (MKI) of the peer are taken, one for a line; we send none. Lifetimes are read and not counted: the shortest
that is in use, 2^31 packets, outlasts any call. Session parameters that change how packets look (unencrypted,
unauthenticated, FEC, a key derivation rate) make a line unusable, as does a list of several keys.

Source: RFC 4568, RFC 6188 4, RFC 7714 14.1, RFC 8643 3.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from media.engine import SrtpKeys
from media.errors import SdpRefused, UsageError
from media.sdp.description import Attributes, Media
from media.settings import SrtpPolicy

__all__ = ["SUITES", "CryptoLine", "Security", "Suite", "Unusable", "build_crypto", "parse_crypto"]

RandomBytes = Callable[[int], bytes]

# AVPF is AVP with earlier RTCP allowed: taken, and named so in the answer (RFC 4585 3.1); likewise SAVPF (RFC 5124).
PLAIN, SECURE = ("RTP/AVP", "RTP/AVPF"), ("RTP/SAVP", "RTP/SAVPF")
MAX_MKI_BYTES = 128  # RFC 4568 9.2


@dataclass(frozen=True, slots=True)
class Suite:
    """A crypto suite and the octets of its master key and salt."""

    name: str
    key_bytes: int
    salt_bytes: int

    @property
    def master_bytes(self) -> int:
        return self.key_bytes + self.salt_bytes


SUITES: Final[Mapping[str, Suite]] = MappingProxyType(
    {
        suite.name: suite
        for suite in (
            Suite("AES_CM_128_HMAC_SHA1_80", 16, 14),
            Suite("AES_CM_128_HMAC_SHA1_32", 16, 14),
            Suite("AES_256_CM_HMAC_SHA1_80", 32, 14),
            Suite("AES_256_CM_HMAC_SHA1_32", 32, 14),
            Suite("AEAD_AES_128_GCM", 16, 12),
            Suite("AEAD_AES_256_GCM", 32, 12),
        )
    }
)


# --- the lines ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """An `a=crypto` that can be used. master: key and salt. mki: the octets that mark the author's packets, mostly none."""

    tag: int
    suite: Suite
    master: bytes = field(repr=False)
    mki: bytes = b""


@dataclass(frozen=True, slots=True)
class Unusable:
    """An `a=crypto` that cannot be used: the suite's name as far as it can be read, and why, in words fit for a log."""

    suite: str
    reason: str


# crypto = tag 1*WSP crypto-suite 1*WSP key-params *(1*WSP session-param)                           (RFC 4568 9.1)
# key-params = key-param *(";" key-param)
_CRYPTO = re.compile(r"(?P<tag>\d{1,9})\s+(?P<suite>[A-Za-z0-9_]{1,64})\s+(?P<keys>\S+)(?:\s+(?P<session>.*))?", re.ASCII)
# "inline:" key-salt ["|" lifetime] ["|" mki-value ":" mki-length]                                  (RFC 4568 9.2)
_INLINE = re.compile(
    r"inline:(?P<key>[A-Za-z0-9+/]+=*)(?:\|(?P<lifetime>(?:2\^)?\d{1,20}))?(?:\|(?P<mki>\d{1,310}):(?P<length>\d{1,3}))?",
    re.ASCII | re.IGNORECASE,
)
# A hint for the size of the replay window: ours is large enough. A "-" says that not knowing the parameter does no harm.
_HARMLESS = re.compile(r"WSH=\d{1,9}|-.*", re.ASCII | re.IGNORECASE)


def parse_crypto(value: str) -> CryptoLine | Unusable:
    """Read the value of an `a=crypto`. Any text gives one or the other.

    Source: RFC 4568 9.1, 9.2.
    """
    found = _CRYPTO.fullmatch(value.strip())
    if not found:
        return Unusable("", "not of the form <tag> <suite> <key>")
    name = found["suite"].upper()
    suite = SUITES.get(name)
    if suite is None:
        return Unusable(name, "unknown suite")
    if ";" in found["keys"]:
        return Unusable(name, "several keys")
    inline = _INLINE.fullmatch(found["keys"])
    if not inline:
        return Unusable(name, "no inline key")
    foreign = [parameter for parameter in (found["session"] or "").split() if not _HARMLESS.fullmatch(parameter)]
    if foreign:
        return Unusable(name, f"session parameter {re.sub(r'[^A-Za-z0-9_]', '', foreign[0].partition('=')[0])[:32]}")
    if _lifetime(inline["lifetime"]) == 0:
        return Unusable(name, "lifetime 0")
    text = inline["key"].rstrip("=")  # the padding is left away by some
    try:
        master = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return Unusable(name, "key is not base64")
    if len(master) != suite.master_bytes:
        return Unusable(name, f"key of {len(master)} octets instead of {suite.master_bytes}")
    mki = b""
    if inline["mki"]:
        length = int(inline["length"])
        if not 0 < length <= MAX_MKI_BYTES or int(inline["mki"]) >= 256**length:
            return Unusable(name, "key identifier")
        mki = int(inline["mki"]).to_bytes(length, "big")
    return CryptoLine(int(found["tag"]), suite, master, mki)


def build_crypto(tag: int, suite: str, key: str) -> str:
    """The value of an `a=crypto` of ours; `key` in base64."""
    return f"{tag} {suite} inline:{key}"


def _lifetime(text: str | None) -> int:
    """Packets; what is not said is as many as there can be."""
    if not text:
        return 1
    return 1 if text.startswith("2^") else int(text)


# --- who uses which key -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ring:
    """Our keys (base64, by suite), the address that they were made for, and the peer's key in force."""

    ours: Mapping[str, str] = field(default_factory=dict, repr=False)
    place: tuple[str, int] | None = None
    theirs: str = field(default="", repr=False)


class Security:
    """What one session's descriptions say of encryption.

    suites: those that we can do, the most wanted first. random_bytes: where our keys come from; it must be fit for secrets.
    """

    def __init__(self, policy: SrtpPolicy, suites: Sequence[str], random_bytes: RandomBytes | None) -> None:
        if policy != "forbidden" and random_bytes is None:
            raise UsageError("encryption needs a source of keys")
        self._policy = policy
        self._suites = tuple(SUITES[name] for name in suites)
        self._random_bytes = random_bytes
        self._ring = _Ring()

    # --- what may be -----------------------------------------------------------------------------------------------

    @property
    def protocols(self) -> tuple[str, ...]:
        """The transports that an offer may name."""
        return PLAIN if self._policy == "forbidden" else PLAIN + SECURE

    def first_protocol(self) -> str:
        """The transport of a session's first offer of ours."""
        return SECURE[0] if self._policy == "mandatory" else PLAIN[0]

    def snapshot(self) -> object:
        return self._ring

    def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, _Ring)
        self._ring = snapshot

    # --- we offer --------------------------------------------------------------------------------------------------

    def offer_lines(self, protocol: str, place: tuple[str, int], in_force: bool | None) -> Attributes:
        """The `a=crypto` lines of an offer of ours. in_force: whether the session is encrypted, None before there is one."""
        if self._policy == "forbidden" or (in_force is False and protocol not in SECURE):
            return ()
        self._settle(place)
        return tuple(("crypto", build_crypto(tag, suite.name, self._key(suite))) for tag, suite in enumerate(self._suites, 1))

    def take_answer(self, offered: Media, answered: Media) -> SrtpKeys | None:
        """What the answer to our offer comes to, None for plain. Raises SdpRefused when it does not fit the offer."""
        lines = [value for name, value in offered.attributes if name == "crypto"]
        secure = answered.protocol.upper() in SECURE
        if (offered.protocol.upper() in SECURE and not secure) or (secure and not lines):
            raise SdpRefused(488, "Answer with another transport", 302, f"Answered with another transport than {offered.protocol}")
        if not lines:
            return None
        ours = {line.suite.name: line for line in map(parse_crypto, lines) if isinstance(line, CryptoLine)}
        chosen, unusable = self._choose(answered, tuple(line.suite for line in ours.values()))
        if chosen is None:
            if secure or self._policy == "mandatory" or unusable:
                raise _unusable(unusable, tuple(ours))
            return None
        return self._agree(chosen, base64.b64encode(ours[chosen.suite.name].master).decode())

    # --- the peer offers -------------------------------------------------------------------------------------------

    def choose(self, media: Media) -> CryptoLine | None:
        """The first line of an offer that we can do, None for plain. Raises SdpRefused when the policy rules plain out."""
        if self._policy == "forbidden":
            return None
        chosen, unusable = self._choose(media, self._suites)
        if chosen is None and (media.protocol.upper() in SECURE or self._policy == "mandatory"):
            raise _unusable(unusable, tuple(suite.name for suite in self._suites))
        return chosen

    def answer(self, chosen: CryptoLine, place: tuple[str, int]) -> tuple[Attributes, SrtpKeys]:
        """Our line of the answer that takes `chosen`, and what is agreed with it. The same again for the same."""
        theirs = base64.b64encode(chosen.master).decode()
        if self._ring.theirs not in ("", theirs):
            self._ring = _Ring()
        self._settle(place)
        key = self._key(chosen.suite)
        return (("crypto", build_crypto(chosen.tag, chosen.suite.name, key)),), self._agree(chosen, key)

    # --- keys ------------------------------------------------------------------------------------------------------

    def _choose(self, media: Media, suites: Sequence[Suite]) -> tuple[CryptoLine | None, list[Unusable]]:
        unusable: list[Unusable] = []
        for name, value in media.attributes:
            if name.lower() != "crypto":
                continue
            line = parse_crypto(value)
            if isinstance(line, Unusable):
                unusable.append(line)
            elif line.suite not in suites:
                unusable.append(Unusable(line.suite.name, "not wanted here"))
            elif base64.b64encode(line.master).decode() in self._ring.ours.values():
                # One key both ways is one keystream for two packets, should both ends choose one SSRC (RFC 3711 9.1).
                unusable.append(Unusable(line.suite.name, "our own key"))
            else:
                return line, unusable
        return None, unusable

    def _settle(self, place: tuple[str, int]) -> None:
        """Keys belong to an address (RFC 4568 7.1.4)."""
        if self._ring.place != place:
            self._ring = _Ring(place=place, theirs=self._ring.theirs)

    def _key(self, suite: Suite) -> str:
        if suite.name not in self._ring.ours:
            assert self._random_bytes is not None  # __init__
            key = base64.b64encode(self._random_bytes(suite.master_bytes)).decode()
            self._ring = _Ring({**self._ring.ours, suite.name: key}, self._ring.place, self._ring.theirs)
        return self._ring.ours[suite.name]

    def _agree(self, line: CryptoLine, ours: str) -> SrtpKeys:
        theirs = base64.b64encode(line.master).decode()
        self._ring = _Ring(self._ring.ours, self._ring.place, theirs)
        return SrtpKeys(suite=line.suite.name, local_key=ours, remote_key=theirs, remote_mki=line.mki.hex())


def _unusable(unusable: Sequence[Unusable], supported: Sequence[str]) -> SdpRefused:
    seen = ", ".join(dict.fromkeys(f"{line.suite or 'a=crypto'} ({line.reason})" for line in unusable[:6])) or "none"
    return SdpRefused(488, "No usable key", 306, f"No usable a=crypto: got {seen}; supported {', '.join(supported)}")
