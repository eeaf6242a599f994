"""What one call asks of its application: the one document request that it waits for, its fallback, and status callbacks.

A call waits for at most one document. When that fails the number's fallback URL is asked, once, with the same parameters
(behaviour.md 1.9, 2.8); status callbacks run beside it and their answers are thrown away (1.10).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rcml.dialect import joined
from rcml.document import Document, parse_document
from rcml.errors import DocumentError
from rcml.parameters import VoiceFacts, voice_parameters
from server.calls.effects import Fetch, Fetched, Parameters
from server.calls.legs.leg import Leg
from server.calls.legs.party import Party, Referral
from server.calls.outbox import Outbox
from server.calls.policy import Application

NOTIFICATION_OF_ERROR: dict[str, int] = {"url": 11100, "protocol": 11206, "too_large": 11206, "redirects": 11206}
NOTIFICATION_OTHERWISE = 11205  # nothing came back: timeout, connect, blocked, tls
NOTIFICATION_OF_STATUS = 11206
NOTIFICATION_OF_404 = 21402


@dataclass(frozen=True, slots=True)
class NoDocument:
    """Neither the URL nor its fallback gave a document. code: our final to a caller who is still unanswered."""

    code: int
    text: str


class Documents:
    """leg: the primary one of the call; party: as the application is told."""

    def __init__(self, outbox: Outbox, leg: Leg, party: Party, application: Application) -> None:
        self._outbox = outbox
        self._leg = leg
        self._party = party
        self._application = application
        self._pending: Fetch | None = None
        self._referral: Referral | None = None
        self._fallback_tried = False
        self._statuses: set[str] = set()

    @property
    def waits(self) -> bool:
        """A document is outstanding."""
        return self._pending is not None

    def referred(self, referral: Referral) -> None:
        """By a transfer: all requests say so from now on."""
        self._referral = referral

    def facts(self) -> VoiceFacts:
        """As they are now."""
        policy, dialect, referral = self._outbox.policy, self._application.dialect, self._referral
        shown = policy.international if dialect.international else str
        headers = self._party.sip_headers
        return VoiceFacts(
            call_sid=self._leg.sid,
            instance_id=policy.instance_id,
            account_sid=policy.account_sid,
            from_user=shown(self._party.from_user),
            to_user=shown(self._party.to_user),
            call_status=self._leg.status,
            direction=self._leg.direction.value,
            caller_name=self._party.caller_name,
            forwarded_from=self._party.forwarded_from,
            timestamp_iso=policy.wall_iso(self._leg.created_at),
            sip_headers=joined(headers) if dialect.joins_headers else headers,
            sip_call_id=self._party.sip_call_id,
            refer_target=referral.target if referral is not None else None,
            transferor=referral.transferor if referral is not None else None,
            transferee=referral.transferee if referral is not None else None,
            api_version=dialect.api_version,
        )

    # --- documents ------------------------------------------------------------------------------------------------

    def ask(self, url: str, method: str, purpose: str, parameters: Parameters) -> None:
        if purpose != "fallback":
            self._fallback_tried = False
        self._pending = self._outbox.ask(purpose, url, method, parameters, timeout_s=self._application.dialect.patience_s)

    def serve(self, application: Application) -> None:
        """It is another one's from now on: its fallback and its status callback count."""
        self._application = application

    def given(self, text: str) -> Document | NoDocument:
        """A document that came with an order (behaviour.md 5.3), and not by HTTP; relative URLs in it lead nowhere."""
        self._pending = None
        self._fallback_tried = True
        try:
            return self._parsed(text.encode(), "text/xml", "")
        except DocumentError as error:
            self._outbox.notify(error.code, "error", error.message, line=error.line)
            return NoDocument(500, "Problem_to_parse_downloaded_RCML")

    def forget(self, *, keep_action: bool) -> None:
        """Nobody waits for the document any more; an action's request stands, for the application must hear of it."""
        if self._pending is not None and not (keep_action and self._pending.purpose == "action"):
            self._pending = None

    def came(self, event: Fetched, *, read: bool) -> Document | NoDocument | None:
        """What a Fetched means to the call. None: not a document, one that is not read, or its fallback is being asked.

        read: False when the call is over and the answer is not run any more.
        """
        pending = self._pending
        if pending is None or event.request != pending.request:
            return None
        self._pending = None
        if not read:
            return None
        if event.error or event.status != 200:
            return self._no_answer(event, pending)
        url = event.url or pending.url
        try:
            return self._parsed(event.body, event.content_type, url)
        except DocumentError as error:
            self._outbox.notify(error.code, "error", error.message, url=url, line=error.line)
            return self._failed(pending, 500, "Problem_to_parse_downloaded_RCML")

    def _parsed(self, body: bytes, content_type: str, url: str) -> Document:
        settings, dialect = self._outbox.policy.rcml, self._application.dialect
        return parse_document(body, content_type=content_type, url=url, settings=settings, dialect=dialect)

    def _no_answer(self, event: Fetched, pending: Fetch) -> NoDocument | None:
        if event.error:
            what = f"{event.error}: {event.detail}" if event.detail else event.error
            notification = NOTIFICATION_OF_ERROR.get(event.error, NOTIFICATION_OTHERWISE)
        else:
            what = f"status {event.status}"
            notification = NOTIFICATION_OF_404 if event.status == 404 else NOTIFICATION_OF_STATUS
        url = event.url or pending.url
        self._outbox.notify(notification, "error", f"{pending.method} {url} failed: {what}", url=url)
        return self._failed(pending, 404 if event.status == 404 else 500, "Problem to setup the call")

    def _failed(self, pending: Fetch, code: int, text: str) -> NoDocument | None:
        application = self._application
        if application.fallback_url and not self._fallback_tried:
            self._fallback_tried = True
            self.ask(application.fallback_url, application.fallback_method, "fallback", pending.parameters)
            return None
        return NoDocument(code, text)

    # --- status callbacks -----------------------------------------------------------------------------------------

    def tell(self, status: str) -> None:
        """The number's status callback: each status once (behaviour.md 1.10). status: as it is now, or was a moment ago."""
        application = self._application
        if status in self._statuses:
            return
        self._statuses.add(status)
        if application.status_callback:
            url, method = application.status_callback, application.status_callback_method
            self._outbox.ask("status", url, method, voice_parameters(replace(self.facts(), call_status=status)))
