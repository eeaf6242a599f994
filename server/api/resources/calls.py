"""Calls: made, listed, changed and ended (behaviour.md 5.1 to 5.4)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Mapping

from server.api import problems
from server.api.faces import Face
from server.api.filters import span_of
from server.api.forms import CallForm, ChangeForm
from server.api.paging import envelope, page_of
from server.api.problems import RestProblem, bad, missing
from server.api.rest import Answer, Asked
from server.calls.policy import Application
from server.orders import FULL, UNREACHABLE, NewCall, NotPossible, Standing
from server.storage.lists import After, CallFilter, Slice
from server.storage.rows import CallRow, short_sid

ENDED = ("completed", "busy", "failed", "no-answer", "canceled")
WRITTEN_IN_S = 2.0  # what waits for the database longer is looked for in vain
LIVE = ("queued", "ringing", "in-progress")


async def create(asked: Asked) -> Answer:
    form = await asked.form(CallForm)
    new = NewCall(
        to=form.to,
        caller=form.caller,
        application=_application(form, form.to),
        timeout_s=form.timeout_s,
        limit_s=form.limit_s,
        status_callback=form.status_callback,
        status_callback_method=form.status_callback_method,
        status_callback_events=tuple(form.status_callback_events),
        username=form.username,
        password=form.password,
    )
    try:
        standing = await asked.deps.orders.originate(new)
    except NotPossible as why:
        if why.kind == UNREACHABLE:
            raise bad(f"To: {why}", problems.BAD_TO) from None
        assert why.kind == FULL
        raise RestProblem(503, problems.TOO_MANY, str(why)) from None
    return Answer("Call", document(asked, standing), 201 if asked.face is Face.TWILIO else 200)


def _application(form: CallForm | ChangeForm, number: str) -> Application:
    """Its own status callback is told by the leg (2.6), and not once more by the script."""
    told = isinstance(form, ChangeForm) and form.status_callback is not None
    return Application(
        number=number,
        voice_url=form.url or "",
        voice_method=form.method,
        fallback_url=form.fallback_url or "",
        fallback_method=form.fallback_method,
        status_callback=form.status_callback or "" if told else "",
        status_callback_method=form.status_callback_method,
        document=form.document or "",
    )


async def read(asked: Asked) -> Answer:
    return Answer("Call", document(asked, await _found(asked)))


async def change(asked: Asked) -> Answer:
    """Status or another document; what cannot be done says why (5.4)."""
    sid = short_sid(asked.sid())
    if asked.deps.orders.standing(sid) is None:
        await _refuse_change(asked, sid)
    form = await asked.form(ChangeForm)
    try:
        if form.status is not None:
            await asked.deps.orders.end(sid, only_unanswered=form.status == "canceled")
        else:
            await asked.deps.orders.redirect(sid, _application(form, sid))
    except NotPossible as why:
        if asked.deps.orders.standing(sid) is None:
            await _refuse_change(asked, sid)
        raise bad(f"{why}. It cannot be redirected.", problems.NOT_IN_PROGRESS) from None
    return Answer("Call", document(asked, await _found(asked)))


async def _refuse_change(asked: Asked, sid: str) -> None:
    """The call does not live. An unknown one is 406 on Restcomm's face, as its clients know it."""
    if await _row(asked, sid) is None:
        if asked.face is Face.RESTCOMM:
            raise RestProblem(406, problems.NOT_FOUND, "There is no such call")
        raise missing("call")
    if asked.face is Face.RESTCOMM:
        raise RestProblem(410, problems.NOT_IN_PROGRESS, "Call is already completed.")
    raise bad("Call is not in-progress. It is over already.", problems.NOT_IN_PROGRESS)


async def listing(asked: Asked) -> Answer:
    """Those that live come from memory, those that are over from the database, in one order: the latest first."""
    page, wanted = page_of(asked.query), _filter(asked.query)
    status = wanted.cause
    live = [one for one in asked.deps.orders.live() if _fits(one, wanted)]
    live.sort(key=_place, reverse=True)
    over, total = ([], 0) if status in LIVE else await _over(asked, wanted, page.part, len(live))
    if page.after is not None:
        before = len(live)
        live = [one for one in live if _place(one) < (page.after.at, page.after.sid)]
        total += before - len(live)
    together = sorted([*live, *over], key=_place, reverse=True)
    # Of the rows that were skipped in the database all come before those that were read: see `_over`.
    begin = 0 if page.after is not None else min(page.part.offset, len(live))
    rows = together[begin : begin + page.size]
    last = After(*_place(rows[-1])) if rows else None
    shown = [document(asked, one) for one in rows]
    return Answer("Call", envelope(asked.face, f"{asked.path}/Calls.json", asked.query, "calls", page, total + len(live), shown, last))


async def _over(asked: Asked, wanted: CallFilter, part: Slice, live: int) -> tuple[list[Standing], int]:
    """What may be on the page when all `live` ones stood before it, or none."""
    skipped = max(0, part.offset - live)
    rows, total = await asked.deps.database.lists.calls(wanted, Slice(part.limit + live, skipped, part.after))
    return [Standing(row, row.cause) for row in rows], total


def _place(one: Standing) -> tuple[datetime.datetime, str]:
    return one.row.created_at, one.row.sid


def _filter(query: Mapping[str, str]) -> CallFilter:
    status = query.get("Status", "").strip().lower()
    if status and status not in ENDED + LIVE:
        raise bad(f"Status must be one of {', '.join(LIVE + ENDED)}")
    return CallFilter(
        to=query.get("To", "").strip(),
        from_user=query.get("From", "").strip(),
        parent_sid=query.get("ParentCallSid", "").strip(),
        cause=status,
        started=span_of(query, "StartTime"),
        ended=span_of(query, "EndTime"),
    )


def _fits(one: Standing, wanted: CallFilter) -> bool:
    row = one.row
    return (
        wanted.cause in ("", one.status)
        and _like(row.to_user, wanted.to)
        and _like(row.from_user, wanted.from_user)
        and (not wanted.parent_sid or row.parent_sid == short_sid(wanted.parent_sid))
        and wanted.started.holds(row.created_at)
        and wanted.ended.holds(row.ended_at)
    )


def _like(text: str, pattern: str) -> bool:
    if "%" not in pattern:
        return not pattern or text == pattern
    pieces = pattern.lower().split("%")
    text = text.lower()
    if not text.startswith(pieces[0]) or not text.endswith(pieces[-1]):
        return False
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= len(text) - len(pieces[-1])


async def _found(asked: Asked) -> Standing:
    sid = short_sid(asked.sid())
    live = asked.deps.orders.standing(sid)
    if live is not None:
        return live
    row = await _row(asked, sid)
    if row is None:
        raise missing("call")
    return Standing(row, row.cause or "in-progress")


async def _row(asked: Asked, sid: str) -> CallRow | None:
    """As stored. One that ended a moment ago is on its way into the database, and is waited for a little."""
    database = asked.deps.database
    row = await database.reader.call(sid)
    if row is None or row.live:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(database.writer.flush(), WRITTEN_IN_S)
        row = await database.reader.call(sid)
    return row


def document(asked: Asked, one: Standing) -> dict[str, object]:
    """As the face has it."""
    row, face = one.row, asked.face
    uri = f"{asked.path}/Calls/{row.sid}"
    parts = {"notifications": f"{uri}/Notifications.json", "recordings": f"{uri}/Recordings.json"}
    over = not row.live
    found: dict[str, object] = {
        "sid": row.sid,
        "date_created": face.date(row.created_at),
        "date_updated": face.date(row.ended_at or row.answered_at or row.created_at),
        "parent_call_sid": row.parent_sid or None,
        "account_sid": asked.account_sid,
        "to": row.to_user,
        "from": row.from_user,
        "phone_number_sid": None,
        "status": one.status,
        "start_time": face.moment(row.created_at),
        "end_time": face.moment(row.ended_at),
        "duration": str(row.duration_s) if over else None,
        "price": None,
        "price_unit": "USD",
        "direction": row.direction,
        "answered_by": None,
        "api_version": face.version,
        "forwarded_from": None,
        "caller_name": None,
        "uri": f"{uri}.json",
        "subresource_uris": parts,
    }
    if face is Face.RESTCOMM:
        found["InstanceId"] = asked.deps.settings.server.instance_id
        found["ring_duration"] = row.ring_duration_s if over else None
        return found
    return found | {"to_formatted": row.to_user, "from_formatted": row.from_user, "group_sid": None, "queue_time": "0", "trunk_sid": None}
