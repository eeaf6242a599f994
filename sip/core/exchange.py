"""One request of ours that is not an INVITE: its way, its repetition for a challenge, its one outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sip.core.delivery import Delivery, Failure
from sip.core.digest import DigestClient, renumbered, with_credentials
from sip.core.parts import SessionPart
from sip.core.transactions import ClientTransaction
from sip.message import Response


class Numbered(Protocol):
    """What CSeq numbers are taken from: a dialog, or a row of requests outside of one."""

    def next_cseq(self) -> int: ...


class ExchangeUser(Protocol):
    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        """Its final response, or why there is none; called once."""


class Exchange:
    """A `DeliveryUser`."""

    __slots__ = ("_digest", "_user", "method", "numbers")

    def __init__(self, user: ExchangeUser, method: str, numbers: Numbered, digest: DigestClient | None) -> None:
        self._user = user
        self._digest = digest
        self.method = method
        self.numbers = numbers

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200 and not answer_challenge(self._digest, delivery, self.numbers, response, now):
            self._user.exchange_done(self, response, None, now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        self._user.exchange_done(self, None, failure, now)


def send_amended(parts: Iterable[SessionPart], delivery: Delivery, numbers: Numbered, response: Response, now: float) -> bool:
    """Send the request again as a part of an extension can make it acceptable; False when none can."""
    for part in parts:
        request = part.amended(delivery.request, response)
        if request is not None:
            delivery.retry(renumbered(request, numbers.next_cseq()), now)
            return True
    return False


def answer_challenge(digest: DigestClient | None, delivery: Delivery, numbers: Numbered, response: Response, now: float) -> bool:
    """Send the request again with credentials; False when this is no challenge, or none that we can meet (22.2)."""
    if response.status not in (401, 407) or digest is None or not digest.learn(response, delivery.challenged):
        return False
    delivery.retry(with_credentials(delivery.request, digest, numbers.next_cseq()), now)
    return True
