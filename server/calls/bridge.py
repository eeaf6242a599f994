"""Two legs that hear each other, and how they come together and part.

```
  EMPTY --put--> WAITING --both there and connected--> JOINED --take, clear, move--> WAITING, EMPTY
```
Legs may belong to any call. Passing early media on is a bridge too: one of its legs has not answered yet (`talking` tells).
A leg is in one bridge at most; `move` takes it from one into another between two packets.
"""

from __future__ import annotations

import enum

from media import engine
from media.sdp.offer_answer import Agreed
from server.calls.effects import Json, Kind
from server.calls.legs.leg import Leg
from server.calls.names import bridge_name
from server.calls.outbox import Outbox
from server.calls.passage import passage


class BridgeState(enum.Enum):
    EMPTY = "empty"
    WAITING = "waiting"
    JOINED = "joined"


class Bridge:
    """outbox: of the call that made it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.state = BridgeState.EMPTY
        self.name = ""  # as the engine knows it, while JOINED
        self._legs: list[Leg] = []
        self._agreed: tuple[Agreed | None, Agreed | None] = (None, None)  # when the passage was last told

    @property
    def talking(self) -> bool:
        """Sound passes, between two who have answered."""
        return self.state is BridgeState.JOINED and all(leg.answered for leg in self._legs)

    def heard_by(self, leg: Leg) -> bool:
        """What the other one says gets to this leg, as far as that one may speak at all: on hold it may not."""
        peer = self.peer_of(leg)
        return self.state is BridgeState.JOINED and peer is not None and peer.media.may_be_heard

    def peer_of(self, leg: Leg) -> Leg | None:
        return next((other for other in self._legs if other is not leg), None) if leg in self._legs else None

    def holds(self, leg: Leg) -> bool:
        return leg in self._legs

    # --- commands -------------------------------------------------------------------------------------------------

    def put(self, leg: Leg) -> None:
        """The first of two, or the second, with whom the sound begins as soon as both are connected."""
        if leg in self._legs:
            self.connected()
            return
        assert len(self._legs) < 2 and leg.bridge is None, "a bridge has two legs, and a leg one bridge"
        self._legs.append(leg)
        leg.bridge = self
        self.state = BridgeState.WAITING
        self.connected()

    def connected(self) -> None:
        """The media of a leg may have been connected meanwhile."""
        if self.state is BridgeState.WAITING and len(self._legs) == 2 and all(leg.media_connected for leg in self._legs):
            first, second = self._legs
            second.bridges += 1
            self.name = bridge_name(second.sid, second.bridges)
            self.state = BridgeState.JOINED
            self._agreed = (first.media.offer_answer.agreed, second.media.offer_answer.agreed)
            self._outbox.emit(engine.Bridge(bridge=self.name, first=first.media.stream, second=second.media.stream))
            facts: dict[str, Json] = {"event": "bridge", "first": first.media.stream, "second": second.media.stream}
            self._outbox.note(Kind.MEDIA, facts | passage(*self._agreed))

    def renegotiated(self, leg: Leg) -> None:
        """Tell when the sound goes another way than until now, after something was agreed anew with the peer of `leg`."""
        if self.state is not BridgeState.JOINED:
            return
        first, second = self._legs
        before, self._agreed = self._agreed, (first.media.offer_answer.agreed, second.media.offer_answer.agreed)
        way = passage(*self._agreed)
        if way != passage(*before):
            self._outbox.note(Kind.MEDIA, {"event": "codecs-changed", **way}, leg.sid)

    def take(self, leg: Leg) -> None:
        """Out of the bridge; the other one stays and hears nothing."""
        if leg not in self._legs:
            return
        self._legs.remove(leg)
        leg.bridge = None
        self._part()

    def move(self, leg: Leg, to: Bridge | None) -> None:
        """Out of this bridge and into another, where somebody may wait already; None: into none."""
        self.take(leg)
        if to is not None:
            to.put(leg)

    def clear(self) -> None:
        for leg in self._legs:
            leg.bridge = None
        self._legs.clear()
        self._part()

    def lost(self) -> None:
        """The engine is gone, and the bridge with it."""
        self.name = ""
        self.state = BridgeState.WAITING
        self.clear()

    def _part(self) -> None:
        if self.state is BridgeState.JOINED:
            self._outbox.emit(engine.Unbridge(bridge=self.name))
            self._outbox.note(Kind.MEDIA, {"event": "unbridge"})
        self.name = ""
        self.state = BridgeState.WAITING if self._legs else BridgeState.EMPTY
