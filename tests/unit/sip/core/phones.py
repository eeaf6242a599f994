"""Phones that register: their REGISTER and INVITE, and an answer to a digest challenge by arithmetic of its own (RFC 7616 3.4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from sip.core.digest_server import Secrets, ha1
from sip.core.door import Account, Door
from sip.core.flows import Address, Flow
from sip.core.registrar import Registrar
from sip.core.tokens import Tokens
from sip.message import Headers, Request, Response
from sip.settings import ContactPolicy, RegistrarSettings
from tests.support.core import OURS, Core
from tests.support.digest import answer_of, parameters

REALM = "dialplane"
PHONE = Flow("udp", OURS, Address("198.51.100.7", 40123))
OTHER = Flow("udp", OURS, Address("198.51.100.8", 40123))


def secrets_of(name: str, password: str, *algorithms: str) -> Secrets:
    return Secrets(tuple((one, ha1(one, name, REALM, password)) for one in algorithms or ("SHA-256", "MD5")))


@dataclass
class Table:
    """The clients: alice with "wonderland", bob with "builder"."""

    accounts: dict[str, Account] = field(
        default_factory=lambda: {
            "alice": Account(secrets_of("alice", "wonderland")),
            "bob": Account(secrets_of("bob", "builder")),
        }
    )

    def any(self) -> bool:
        return bool(self.accounts)

    def find(self, name: str) -> Account | None:
        return self.accounts.get(name)

    def is_ours(self, host: str) -> bool:
        return host == OURS.host


class Lists:
    """One trunk."""

    def admits(self, host: str) -> bool:
        return host == "192.0.2.77"

    def explain(self, host: str) -> str:
        return "a stranger"

    def contact_policy(self, host: str) -> ContactPolicy:
        return "auto"


class Office(Core):
    """An endpoint with a registrar and a door, on the bench."""

    def __init__(self, table: Table | None = None, **settings: object) -> None:
        chosen = RegistrarSettings(**settings)  # type: ignore[arg-type]
        draw = iter(range(1, 10_000))
        tokens = Tokens(lambda count: hashlib.shake_256(str(next(draw)).encode()).digest(count))
        self.registrar = Registrar(chosen, "sip:dialplane@192.0.2.1")
        self.door = Door(chosen, table or Table(), tokens)
        super().__init__(extensions=(self.registrar,), screen=Lists(), door=self.door)

    def ask(self, message: Request, flow: Flow = PHONE) -> Response:
        """Its one answer."""
        self.sent()
        self.give(message, flow)
        return self.sent_response()

    def register(self, contact: str | None = None, *, flow: Flow = PHONE, user: str = "alice", **given: object) -> Response:
        """A REGISTER with the right password: challenged, and asked again."""
        numbers = given.pop("cseq", None)
        cseq = int(str(numbers)) if numbers is not None else next_number()
        first = register(user, contact, cseq=cseq, flow=flow, **given)  # type: ignore[arg-type]
        challenge = self.ask(first, flow)
        if challenge.status != 407:
            return challenge
        return self.ask(with_answer(first, challenge, user, PASSWORDS[user], cseq=cseq), flow)


PASSWORDS = {"alice": "wonderland", "bob": "builder"}
_numbers = iter(range(1, 1_000_000))


def next_number() -> int:
    return next(_numbers)


def register(
    user: str = "alice",
    contact: str | None = None,
    *,
    cseq: int = 1,
    flow: Flow = PHONE,
    call_id: str = "reg-1",
    expires: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    contacts: Iterable[str] | None = None,
) -> Request:
    """contact: of the phone; None: an address behind its NAT. contacts: several, or none at all."""
    own = contact or f"<sip:{user}@10.0.0.5:5060>"
    items = [
        ("Via", f"SIP/2.0/{flow.transport.upper()} 10.0.0.5:5060;branch=z9hG4bK{next_number()};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:{user}@192.0.2.1>;tag=f1"),
        ("To", f"<sip:{user}@192.0.2.1>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        *(("Contact", each) for each in ([own] if contacts is None else contacts)),
        *([("Expires", expires)] if expires is not None else []),
        *headers,
    ]
    return Request("REGISTER", "sip:192.0.2.1", Headers(items))


def challenge_of(response: Response, algorithm: str = "SHA-256") -> str:
    values = [*response.headers.get_all("Proxy-Authenticate"), *response.headers.get_all("WWW-Authenticate")]
    return next(value for value in values if parameters(value)["algorithm"] == algorithm)


def with_answer(
    request: Request, challenge: Response, user: str, password: str, *, cseq: int | None = None, algorithm: str = "SHA-256", **given: object
) -> Request:
    """The same request once more, with credentials and another branch."""
    headers = request.headers.copy()
    headers.set("Via", f"SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK{next_number()};rport")
    if cseq is not None:
        headers.set("CSeq", f"{cseq} {request.method}")
    value = answer_of(challenge_of(challenge, algorithm), user, password, request.method, request.uri, **given)  # type: ignore[arg-type]
    headers.set("Proxy-Authorization" if challenge.status == 407 else "Authorization", value)
    return Request(request.method, request.uri, headers, request.body)
