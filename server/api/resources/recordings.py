"""Recordings: listed, read and deleted (behaviour.md 5.5). Their sound has a route of its own, see `server.api.app`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from server.api import problems
from server.api.faces import Face
from server.api.filters import span_of
from server.api.paging import envelope, page_of
from server.api.problems import RestProblem, missing
from server.api.rest import NOTHING, Answer, Asked
from server.calls.names import RECORDING
from server.storage.lists import After
from server.storage.rows import RecordingRow, short_sid


async def listing(asked: Asked) -> Answer:
    """Of all calls, or of one (`CallSid`)."""
    return await _list(asked, asked.query.get("CallSid", "").strip(), "Recordings.json")


async def of_call(asked: Asked) -> Answer:
    sid = short_sid(asked.sid())
    return await _list(asked, sid, f"Calls/{sid}/Recordings.json")


async def _list(asked: Asked, call_sid: str, path: str) -> Answer:
    page = page_of(asked.query)
    rows, total = await asked.deps.database.lists.recordings(call_sid, span_of(asked.query, "DateCreated"), page.part)
    last = After(rows[-1].created_at, rows[-1].sid) if rows else None
    shown = [document(asked, row) for row in rows]
    return Answer("Recording", envelope(asked.face, f"{asked.path}/{path}", asked.query, "recordings", page, total, shown, last))


async def read(asked: Asked) -> Answer:
    return Answer("Recording", document(asked, await _found(asked)))


async def remove(asked: Asked) -> Answer:
    """The file first: a row without its file is harmless, a file without its row would stay for ever."""
    row = await _found(asked)
    try:
        await asyncio.to_thread(Path(row.path).unlink, missing_ok=True)
    except OSError as error:
        raise RestProblem(500, problems.INTERNAL, f"The file of the recording cannot be deleted: {error.strerror}") from None
    await asked.deps.database.lists.forget_recording(row.sid)
    return NOTHING if asked.face is Face.TWILIO else Answer("Recording", document(asked, row))


async def _found(asked: Asked) -> RecordingRow:
    sid = short_sid(asked.sid())
    row = await asked.deps.database.reader.recording(sid) if sid.startswith(RECORDING) else None
    if row is None:
        raise missing("recording")
    return row


def document(asked: Asked, row: RecordingRow) -> dict[str, object]:
    """As the face has it. duration: whole seconds for Twilio's clients, with a decimal for Restcomm's."""
    face = asked.face
    uri = f"{asked.path}/Recordings/{row.sid}"
    sound = asked.deps.settings.server.base_url + uri + ".wav"
    found: dict[str, object] = {
        "sid": row.sid,
        "date_created": face.date(row.created_at),
        "date_updated": face.date(row.created_at),
        "account_sid": asked.account_sid,
        "call_sid": row.call_sid,
        "duration": str(row.duration_ms // 1000) if face is Face.TWILIO else f"{row.duration_ms / 1000:.1f}",
        "api_version": face.version,
        "uri": f"{uri}.json",
    }
    if face is Face.RESTCOMM:
        return found | {"file_uri": sound}
    return found | {
        "conference_sid": None,
        "start_time": face.date(row.created_at),
        "price": None,
        "price_unit": "USD",
        "status": "completed",
        "channels": 1,
        "source": "DialVerb",
        "error_code": None,
        "encryption_details": None,
        "subresource_uris": {},
        "media_url": sound,
    }
