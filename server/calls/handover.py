"""A transfer while it is under way, as its two calls know it, and what calls tell each other through the registry.

```
  REFER ─ 202, NOTIFY 100 ─▶ the transferee's call asks the refer document and runs it     the transferor waits in a call of its own
     target rings ─▶ NOTIFY 180
     target answers, or the document does something else ─▶ NOTIFY 200, BYE to the transferor
     target refuses ─▶ NOTIFY with its code; the transferor has the call back, or has hung up, and the document decides
     no document ─▶ NOTIFY 503, BYE          time is over (`dial.transferor_s`) ─▶ NOTIFY 200, BYE
```
Each side may end at any moment; the last NOTIFY goes out once, whoever has something to say first (behaviour.md 6).
"""

from __future__ import annotations

from collections.abc import Sequence

from server.calls.legs.leg import Leg, LegState
from server.calls.outbox import Outbox
from server.calls.outcome import CODE_OF_CANCELED, CODE_OF_UNREACHABLE, DialResult
from server.calls.records import Cause
from server.calls.signals import TransferSettled
from sip.core.referring import NotifyRefer, ReferId


class Handover:
    """settled: the last NOTIFY is out. present: the transferor has not hung up. fetched: the refer document is there."""

    def __init__(self, refer: ReferId) -> None:
        self.refer = refer
        self.settled = False
        self.present = True
        self.fetched = False
        self._told = 100

    def progress(self, outbox: Outbox, status: int) -> None:
        """outbox: of whichever call has something to say."""
        if not self.settled and status != self._told:
            self._told = status
            outbox.emit(NotifyRefer(self.refer, status))

    def settle(self, outbox: Outbox, status: int, reason: str = "", *, back: bool = False) -> None:
        """back: the transferor is to have the call again; otherwise it is hung up."""
        if not self.settled:
            self.settled = True
            outbox.emit(NotifyRefer(self.refer, status, reason, final=True))
            outbox.signal(TransferSettled(self.refer, back))

    # --- what the transferee's call sees --------------------------------------------------------------------------

    def document_came(self, outbox: Outbox, *, dials: bool, failed: bool) -> None:
        """The refer document is there and dials somebody first, or it does something else, or cannot be had (behaviour 0.10)."""
        if dials:
            self.fetched = True
        else:
            self.settle(outbox, 503 if failed else 200)

    def goes_back(self, outbox: Outbox, dial: DialResult | None) -> bool:
        """A verb of the document is over, a Dial perhaps. True: the target has refused, and the transferor takes the call back."""
        if self.settled or dial is None or dial.answered:
            return False
        back = self.present and dial.call_sid is not None  # a target that nobody could even call is the document's business
        self.settle(outbox, dial.sip_response_code or dial.caller_code, back=back)
        return back

    def look(self, outbox: Outbox, leg: Leg, others: Sequence[Leg]) -> bool:
        """After every input. leg: the transferee's; others: whom its document calls. True: there is nothing more to tell."""
        if leg.ended is not None:
            self.settle(outbox, CODE_OF_UNREACHABLE if leg.ended.cause is Cause.FAILED else CODE_OF_CANCELED)
        elif leg.bridge is not None and leg.bridge.talking:
            self.settle(outbox, 200)
        elif any(other.state is LegState.RINGING for other in others):
            self.progress(outbox, 180)
        return self.settled
