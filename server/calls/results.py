"""How a verb ended: what a script understands, whichever verb it was.

Apart from the verbs (`server.calls.verbs.running`), so that a verb may itself run a script on a leg.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.calls.effects import Parameters
from server.calls.outcome import DialResult


@dataclass(frozen=True, slots=True)
class Finished:
    """The script goes on behind the verb.

    answered: it connected the caller with somebody. waited: something was heard or it took its time: no loop of documents.
    asks: whether the verb's action is asked; False when there is nothing to tell it. parameters: what it is told beside what every
    request carries. dial: what a Dial's action is told, and what an unanswered caller gets when nothing follows. reason: value of a
    Reason header for the caller, when nothing follows (behaviour 0.4).
    """

    answered: bool = False
    waited: bool = True
    asks: bool = True
    parameters: Parameters = ()
    dial: DialResult | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The script goes on in another document."""

    url: str
    method: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The unanswered call is refused. phrase: of the response, "" for the RFC's."""

    status: int
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The script is over. why: for the record; reason: of a Reason header for the caller, None for that of the last verb."""

    why: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The script cannot go on: what it asked for cannot be had. why: for the record; reason: of a Reason header for the caller."""

    why: str
    reason: str | None = None


Result = Finished | Elsewhere | Refused | HungUp | Broken
