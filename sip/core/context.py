"""What the parts of one endpoint share: settings, capabilities, sockets, randomness, the agenda, and the outputs that are being collected.

It is the floor that the layers stand on, and knows none of them. Each layer keeps its own table: `transactions.Transactions`,
`delivery.Deliveries`, `usage.Core` (dialogs, sessions); what lives puts itself in and takes itself out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sip.core.capabilities import Capabilities
from sip.core.commands import HeaderList, SessionId
from sip.core.events import Direction, Dropped, Output, Traced
from sip.core.flows import Flow, Listener, Transmit
from sip.core.machine import Packet
from sip.core.timers import Agenda, Times
from sip.core.tokens import Tokens
from sip.message import StreamParser
from sip.settings import ContactPolicy, SipSettings


def _auto(host: str) -> ContactPolicy:
    return "auto"


class Connection:
    """An open connection. After CloseConnection it stays here, deaf, until the shell reports that it is gone."""

    __slots__ = ("closing", "flow", "parser")

    def __init__(self, flow: Flow, parser: StreamParser) -> None:
        self.flow = flow
        self.parser = parser
        self.closing = False


class Context:
    """abilities: Allow and Supported as they go into INVITE and its 2xx (13.2.1, 13.3.1.4).

    contact_policy: by the address that a peer was seen at, see sip.core.routing.
    """

    def __init__(
        self, settings: SipSettings, capabilities: Capabilities, listeners: Sequence[Listener], random_bytes: Callable[[int], bytes]
    ) -> None:
        self.settings = settings
        self.capabilities = capabilities
        self.listeners = tuple(listeners)
        self.times = Times(settings.t1_s, settings.t2_s, settings.t4_s, settings.timer_d_s)
        self.tokens = Tokens(random_bytes)
        self.agenda = Agenda()
        self.out: list[Output] = []
        self.connections: dict[int, Connection] = {}
        self._serial = 0
        self.contact_policy: Callable[[str], ContactPolicy] = _auto
        self.allow = ", ".join(capabilities.methods)
        self.supported = ", ".join(capabilities.option_tags)
        self.abilities: HeaderList = (("Allow", self.allow), ("Supported", self.supported))[: 2 if self.supported else 1]

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

    def connected_to(self, flow: Flow) -> bool:
        """Whether there is a connection to this peer that has not been given up."""
        return any(
            one.flow.remote == flow.remote and one.flow.transport == flow.transport and not one.closing for one in self.connections.values()
        )

    def drop(self, flow: Flow, reason: str, detail: str = "", status: int = 0) -> None:
        self.out.append(Dropped(flow, reason, detail, status))
