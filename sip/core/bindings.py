"""Where clients can be reached: the location service of a registrar, by itself and without I/O (RFC 3261 10.3, RFC 5626 6).

A client has up to `max_contacts` bindings. Two REGISTERs speak of the same one when they name the same instance (its URN and `reg-id`) or,
without an instance, equal Contacts; an instance that comes back with another Contact has moved, and leaves nothing behind. Within one
Call-ID the CSeq must rise; another Call-ID is a phone that has started anew, and rules. A REGISTER is carried out as a whole or not.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sip.core.commands import HeaderList
from sip.core.flows import Flow
from sip.core.incoming import Incoming
from sip.core.routing import host_of, scope, unreachable_contact
from sip.core.tally import Tally
from sip.message import NameAddr, ParseError, parse_name_addr, parse_uint, parse_uri, uri_equal
from sip.settings import ContactPolicy, RegistrarSettings

MAX_CONTACT = 1024  # octets of one Contact, and of a User-Agent that is kept
HOUR_S = 3600  # RFC 3261 10.2.1.1: what is no number counts as an hour; 10.3: nothing from an hour up is too brief


@dataclass(frozen=True, slots=True)
class Binding:
    """One phone of a client, or one of its flows.

    contact: its URI as the phone wrote it, which is the Request-URI of our requests. flow: by which its REGISTER came.
    hops: Via values of that REGISTER; 1 when nobody stood between. expires_at: monotonic.
    instance: the URN without quotes, "" for none; reg_id: 0 for none.
    """

    client: str
    contact: str
    call_id: str
    cseq: int
    flow: Flow
    expires_at: float
    hops: int = 1
    instance: str = ""
    reg_id: int = 0
    user_agent: str = ""

    @property
    def key(self) -> str:
        """The same for what is the same binding; no other client has it."""
        what = f"{self.instance}\n{self.reg_id}" if self.instance else self.contact
        return f"{self.client}\n{what}"

    def place(self, policy: ContactPolicy) -> Flow | None:
        """The flow that requests go by; None: they follow the Contact (RFC 3263).

        A connection is used as long as it is there: nobody can open one to a phone behind NAT (RFC 5626 5.3). By UDP a Contact counts
        when it names the address that the REGISTER came from, or when a proxy stands between and it can be reached from here.
        """
        flow = self.flow
        if flow.connection:
            return flow
        if policy == "contact" or flow.reliable:
            return None
        uri = parse_uri(self.contact)
        if policy == "observed" or (uri.params.get("transport") or flow.transport).lower() != flow.transport:
            return flow if policy == "observed" else None
        named = host_of(uri)
        if self.hops == 1:
            return None if named == flow.remote.host else flow
        return flow if scope(named) is None or unreachable_contact(uri, flow) else None


class Change(enum.Enum):
    """What has become of a binding."""

    ADDED = "added"
    REFRESHED = "refreshed"
    REMOVED = "removed"  # by the phone
    DISPLACED = "displaced"  # by one more than there may be
    EXPIRED = "expired"
    DISCONNECTED = "disconnected"  # its connection is gone: it may come back at once
    UNREACHABLE = "unreachable"  # it does not answer OPTIONS
    WITHDRAWN = "withdrawn"  # its client is no longer in the configuration


LEFT = frozenset(Change) - {Change.ADDED, Change.REFRESHED}  # there is no such binding any more


@dataclass(frozen=True, slots=True)
class Changed:
    binding: Binding
    change: Change


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a REGISTER, and what it has changed."""

    status: int
    reason: str = ""
    headers: HeaderList = ()
    changes: tuple[Changed, ...] = ()


class Bindings:
    """All bindings of a server. Whoever uses it looks after time: `expired`."""

    def __init__(self, settings: RegistrarSettings) -> None:
        self._settings = settings
        self._by_client: dict[str, tuple[Binding, ...]] = {}
        self._hosts = Tally()  # what they are registered from
        self._by_connection: dict[int, dict[str, Binding]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Binding]:
        for bindings in self._by_client.values():
            yield from bindings

    def of(self, client: str) -> tuple[Binding, ...]:
        """The one that was heard of last, first."""
        return self._by_client.get(client, ())

    def find(self, client: str, key: str) -> Binding | None:
        return next((binding for binding in self.of(client) if binding.key == key), None)

    def knows(self, host: str) -> bool:
        """Whether anything is registered from this address."""
        return host in self._hosts

    def by(self, flow: Flow) -> tuple[Binding, ...]:
        """Those that were registered over a connection."""
        return tuple(self._by_connection.get(flow.connection, {}).values())

    def put(self, binding: Binding) -> Binding | None:
        """Add, or take the place of the same one, which is returned."""
        old = self.find(binding.client, binding.key)
        if old is not None:
            self.drop(old)
        self._by_client[binding.client] = (binding, *self.of(binding.client))
        self._hosts.hold(binding.flow.remote.host)
        if binding.flow.connection:
            self._by_connection.setdefault(binding.flow.connection, {})[binding.key] = binding
        self._count += 1
        return old

    def drop(self, binding: Binding) -> None:
        rest = tuple(one for one in self.of(binding.client) if one is not binding)
        if len(rest) == len(self.of(binding.client)):
            return
        if rest:
            self._by_client[binding.client] = rest
        else:
            del self._by_client[binding.client]
        self._hosts.release(binding.flow.remote.host)
        connection = binding.flow.connection
        if connection:
            del self._by_connection[connection][binding.key]
            if not self._by_connection[connection]:
                del self._by_connection[connection]
        self._count -= 1

    # --- REGISTER ---------------------------------------------------------------------------------------------------

    def register(self, incoming: Incoming, now: float) -> Outcome:
        """Carry out what the client `incoming.user` asks for (RFC 3261 10.3, steps 6 to 8)."""
        headers = incoming.request.headers
        values = headers.values("Contact")
        default = _seconds(headers.get("Expires"))
        if "*" in (value.strip() for value in values):
            if len(values) != 1 or default != 0 or (headers.get("Expires") or "").strip() != "0":
                return Outcome(400, "Contact: * goes with Expires: 0 alone")
            return self._remove_all(incoming, now)
        try:
            wanted = [self._read(value, default, incoming, now) for value in values]
        except ParseError as error:
            return Outcome(400, f"Bad {error.field or 'Contact'}")
        if len(wanted) > self._settings.max_contacts:
            return Outcome(403, "Too many Contacts")
        brief = self._settings.min_expires_s
        if any(0 < expires_s < min(brief, HOUR_S) for _, expires_s in wanted):
            return Outcome(423, headers=(("Min-Expires", str(brief)),))
        for binding, _ in wanted:
            if not _follows(self._same(binding), incoming):
                return Outcome(500, "CSeq Out Of Order")
        changes: list[Changed] = []
        for binding, expires_s in wanted:
            changes += self._bind(binding, expires_s)
        return self._listing(incoming, now, changes)

    def _bind(self, binding: Binding, expires_s: int) -> Iterator[Changed]:
        same = self._same(binding)
        if not expires_s:
            if same is not None:
                self.drop(same)
                yield Changed(same, Change.REMOVED)
            return
        if same is not None and same.key != binding.key:  # equal Contacts that are written in two ways, or an instance only now
            self.drop(same)
            yield Changed(same, Change.DISPLACED)
        if self.put(binding) is None:
            yield Changed(binding, Change.ADDED)
        else:
            yield Changed(binding, Change.REFRESHED)
        for surplus in self.of(binding.client)[self._settings.max_contacts :]:
            self.drop(surplus)
            yield Changed(surplus, Change.DISPLACED)

    def _remove_all(self, incoming: Incoming, now: float) -> Outcome:
        found = self.of(incoming.user)
        if not all(_follows(binding, incoming) for binding in found):
            return Outcome(500, "CSeq Out Of Order")
        for binding in found:
            self.drop(binding)
        return self._listing(incoming, now, [Changed(binding, Change.REMOVED) for binding in found])

    def _listing(self, incoming: Incoming, now: float, changes: Iterable[Changed]) -> Outcome:
        """200 with everything that is bound now, each as its phone wrote it (10.3, step 8)."""
        found = self.of(incoming.user)
        headers = [("Contact", _listed(binding, now)) for binding in found]
        if not found:
            headers.append(("Expires", "0"))
        supported = incoming.request.headers.lists("Supported", "outbound")
        if supported and any(change.binding.reg_id and change.change not in LEFT for change in changes):
            headers.append(("Require", "outbound"))  # RFC 5626 6: the flow is what its binding is called by
        return Outcome(200, headers=tuple(headers), changes=tuple(changes))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _same(self, binding: Binding) -> Binding | None:
        """The binding that a REGISTER speaks of."""
        found = self.find(binding.client, binding.key)
        if found is not None:
            return found
        uri = parse_uri(binding.contact)
        alike = (one for one in self.of(binding.client) if not (one.instance and binding.instance))
        return next((one for one in alike if uri_equal(parse_uri(one.contact), uri)), None)

    def _read(self, value: str, default: int | None, incoming: Incoming, now: float) -> tuple[Binding, int]:
        """One Contact, and for how many seconds it is wanted. Raises ParseError."""
        settings, headers = self._settings, incoming.request.headers
        if len(value) > MAX_CONTACT:
            raise ParseError("too long", field="Contact")
        contact = parse_name_addr(value, "Contact")
        uri = parse_uri(contact.uri)
        if uri.scheme not in ("sip", "sips") or not uri.host:
            raise ParseError("not a SIP URI", field="Contact")
        expires_s = _seconds(contact.params.get("expires")) if "expires" in contact.params else default
        if expires_s is None:
            expires_s = settings.default_expires_s
        expires_s = min(expires_s, settings.max_expires_s)
        instance, reg_id = _instance(contact)
        binding = Binding(
            client=incoming.user,
            contact=str(replace(uri, headers=())) if uri.headers else contact.uri,
            call_id=incoming.call_id,
            cseq=incoming.cseq,
            flow=incoming.flow,
            expires_at=now + expires_s,
            hops=len(headers.values("Via")),
            instance=instance,
            reg_id=reg_id,
            user_agent=(headers.get("User-Agent") or "")[:MAX_CONTACT],
        )
        return binding, expires_s


def _follows(binding: Binding | None, incoming: Incoming) -> bool:
    """Whether a REGISTER is newer than what made the binding (10.3, step 7)."""
    return binding is None or binding.call_id != incoming.call_id or incoming.cseq > binding.cseq


def _instance(contact: NameAddr) -> tuple[str, int]:
    """The URN of the instance, and `reg-id`; the latter counts only beside the former (RFC 5626 6)."""
    text = (contact.params.get("+sip.instance") or "").strip().strip('"').strip()
    instance = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if not instance:
        return "", 0
    try:
        return instance, parse_uint(contact.params.get("reg-id") or "0", "reg-id", maximum=2**31 - 1)
    except ParseError:
        return instance, 0


def _seconds(text: str | None) -> int | None:
    """delta-seconds; None when there are none. What is no number counts as an hour (10.2.1.1)."""
    if text is None:
        return None
    try:
        return parse_uint(text.strip(), "Expires", maximum=2**32 - 1)
    except ParseError:
        return HOUR_S


def _listed(binding: Binding, now: float) -> str:
    params: dict[str, str | None] = {"expires": str(max(1, round(binding.expires_at - now)))}
    if binding.instance:
        params["+sip.instance"] = f'"<{binding.instance}>"'
    if binding.reg_id:
        params["reg-id"] = str(binding.reg_id)
    return str(NameAddr(None, binding.contact, params))
