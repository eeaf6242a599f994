"""What was said under a Call-ID before there was a session: INVITEs that were refused without one, and their ACKs.

A caller whose first INVITE is refused (420, 415, 503 ...) tries again under the same Call-ID, and who looks at the call wants to see why.
The refusals themselves stay stateless (`sip.core.responses`): this is a memory for the timeline, bounded in every direction, of which a
flood can only push the oldest out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from sip.core.events import Traced

MAX_CALL_IDS = 500
MAX_MESSAGES = 8  # of each
MAX_BYTES = 1024 * 1024  # of all together


class Prelude:
    def __init__(self) -> None:
        self._traces: OrderedDict[str, list[Traced]] = OrderedDict()
        self._bytes = 0

    def keep(self, method: str, call_id: str, traces: Iterable[Traced]) -> None:
        """Remember an exchange that belongs to no session. It begins with an INVITE; others count where there is a beginning."""
        kept = self._traces.get(call_id)
        if kept is None:
            if method != "INVITE":
                return
            kept = self._traces[call_id] = []
        for trace in traces:
            if len(kept) < MAX_MESSAGES:
                kept.append(trace)
                self._bytes += len(trace.data)
        while len(self._traces) > MAX_CALL_IDS or self._bytes > MAX_BYTES:
            _, oldest = self._traces.popitem(last=False)
            self._forget(oldest)

    def knows(self, call_id: str) -> bool:
        return call_id in self._traces

    def take(self, call_id: str) -> list[Traced]:
        """What is remembered, and forgotten from now on."""
        if not self._traces:
            return []
        kept = self._traces.pop(call_id, [])
        self._forget(kept)
        return kept

    def _forget(self, traces: list[Traced]) -> None:
        self._bytes -= sum(len(trace.data) for trace in traces)
