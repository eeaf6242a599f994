"""What the parts of one endpoint share: the tables, the agenda, the outputs that are being collected.

Who owns what: a *transaction* stands in `clients` or `servers` until its machine is terminated; a *delivery* (a request on its
way) in `deliveries` while a broken connection would matter to it and in `queries` while it waits for DNS; a *session* in
`sessions` until its last event, and its dialogs in `dialogs` as long. Each puts itself in and takes itself out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sip.core.commands import HeaderList, SessionId
from sip.core.events import Direction, Dropped, Output, Traced
from sip.core.flows import Address, Flow, Listener, Transmit
from sip.core.incoming import DialogKey, MergeKey, ServerKey
from sip.core.machine import Packet
from sip.core.timers import Agenda, Times
from sip.core.tokens import Tokens
from sip.settings import SipSettings

if TYPE_CHECKING:
    from sip.core.delivery import Delivery
    from sip.core.dialog import Dialog
    from sip.core.session import Session
    from sip.core.transactions import ClientTransaction, ServerTransaction
    from sip.message import StreamParser

CORE_METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS")
ACCEPTED_BODIES = "application/sdp, multipart/mixed, multipart/alternative, multipart/related"


class Connection:
    """An open stream. After CloseConnection it stays here, deaf, until the shell reports that it is gone."""

    __slots__ = ("closing", "flow", "parser")

    def __init__(self, flow: Flow, parser: StreamParser) -> None:
        self.flow = flow
        self.parser = parser
        self.closing = False


class Context:
    def __init__(self, settings: SipSettings, listeners: Sequence[Listener], random_bytes: Callable[[int], bytes]) -> None:
        self.settings = settings
        self.listeners = tuple(listeners)
        self.times = Times(settings.t1_s, settings.t2_s, settings.t4_s, settings.timer_d_s)
        self.tokens = Tokens(random_bytes)
        self.agenda = Agenda()
        self.out: list[Output] = []
        self.clients: dict[tuple[str, str], ClientTransaction] = {}  # (branch, method)
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.merged: dict[MergeKey, ServerTransaction] = {}
        self.sessions: dict[SessionId, Session] = {}
        self.dialogs: dict[DialogKey, tuple[Session, Dialog]] = {}
        self.queries: dict[int, Delivery] = {}
        self.deliveries: dict[tuple[str, Address], dict[int, Delivery]] = {}  # by remote end, then by serial
        self.connections: dict[int, Connection] = {}
        self._serial = 0
        self.allow = ", ".join([*CORE_METHODS, *settings.user_methods])
        self.supported = ", ".join(settings.supported)
        # As they go into INVITE and its 2xx (13.2.1, 13.3.1.4).
        self.capabilities: HeaderList = (("Allow", self.allow), ("Supported", self.supported))[: 2 if self.supported else 1]
        self.known_methods = frozenset((*CORE_METHODS, *settings.user_methods))

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    def emit(self, output: Output) -> None:
        self.out.append(output)

    def transmit(self, packet: Packet, flow: Flow, session: SessionId | None, repeated: bool = False) -> None:
        self.out.append(Traced(session, packet.call_id, Direction.OUT, flow, packet.data, packet.summary, repeated))
        self.out.append(Transmit(flow, packet.data))

    def is_open(self, flow: Flow) -> bool:
        connection = self.connections.get(flow.connection)
        return connection is not None and not connection.closing

    def drop(self, flow: Flow, reason: str, detail: str = "", status: int = 0) -> None:
        self.out.append(Dropped(flow, reason, detail, status))
