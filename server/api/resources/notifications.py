"""Notifications: what the authors of applications should see (behaviour.md 5.5). The level is a number: 0 error, 1 warning."""

from __future__ import annotations

from server.api.filters import span_of
from server.api.paging import envelope, page_of
from server.api.problems import bad, missing
from server.api.rest import Answer, Asked
from server.storage.lists import After
from server.storage.rows import NotificationRow, short_sid

LEVELS = {"0": "error", "1": "warning"}


async def listing(asked: Asked) -> Answer:
    return await _list(asked, "", "Notifications.json")


async def of_call(asked: Asked) -> Answer:
    sid = short_sid(asked.sid())
    return await _list(asked, sid, f"Calls/{sid}/Notifications.json")


async def _list(asked: Asked, call_sid: str, path: str) -> Answer:
    page, log = page_of(asked.query), asked.query.get("Log", "").strip()
    if log and log not in LEVELS:
        raise bad("Log must be 0 (errors) or 1 (warnings)")
    rows, total = await asked.deps.database.lists.notifications(
        call_sid, LEVELS.get(log, ""), span_of(asked.query, "MessageDate"), page.part
    )
    last = After(rows[-1].at, rows[-1].sid) if rows else None
    shown = [document(asked, row) for row in rows]
    return Answer("Notification", envelope(asked.face, f"{asked.path}/{path}", asked.query, "notifications", page, total, shown, last))


async def read(asked: Asked) -> Answer:
    row = await asked.deps.database.lists.notification(asked.sid())
    if row is None:
        raise missing("notification")
    return Answer("Notification", document(asked, row))


def document(asked: Asked, row: NotificationRow) -> dict[str, object]:
    face = asked.face
    return {
        "sid": row.sid,
        "date_created": face.date(row.at),
        "date_updated": face.date(row.at),
        "account_sid": asked.account_sid,
        "call_sid": row.call_sid,
        "api_version": face.version,
        "log": "0" if row.level == "error" else "1",
        "error_code": str(row.code),
        "more_info": None,
        "message_text": row.message + (f" (line {row.line})" if row.line else ""),
        "message_date": face.date(row.at),
        "request_url": row.url or None,
        "request_method": None,
        "request_variables": None,
        "response_headers": None,
        "response_body": None,
        "uri": f"{asked.path}/Notifications/{row.sid}.json",
    }
