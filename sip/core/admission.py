"""Whether a new call is let in while the server is busy: asked before anything of an INVITE is kept."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol


class Admission(Protocol):
    def admits(self, call: Hashable, now: float) -> bool:
        """Whether an INVITE that would open a session is served; else it gets a stateless 503.

        call: the same for every copy of the INVITE, which all have to get the same answer.
        """
