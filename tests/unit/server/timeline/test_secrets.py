"""No secret reaches the database, wherever it is planted: in messages, documents, URLs, parameters, or the words of an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import load
from server.calls.effects import Json, Kind, Note, Notification
from server.calls.records import By, CallEnded, CallRecord, Cause
from server.observability.clock import WallClock
from server.observability.metrics import Metrics
from server.observability.redaction import hide_secrets
from server.storage.database import Database
from server.timeline.recorder import Recorder

CALL = "CA" + "1" * 32
S = "Pl4ntedS3cret"  # what must not be found, nor its end; each place has its own number behind it

SIP_FIELDS = (
    "X-Auth-Token: {s}",
    "X-Secret: {s} and {s}",
    "Cookie: session={s}; other={s}",
    "Set-Cookie: sid={s}; Path=/; HttpOnly",
    "X-Api-Key: {s}",
    "x-access-TOKEN : {s},\r\n {s}",
    "X-Customer-Password: {s}",
    "X-Credentials: alice/{s}",
    'X-Data: {{"token": "{s}"}}',
    "X-Data: name=value;secret={s};more=1",
    'X-Data: password = "{s} {s}"',
    'Authorization: Digest username="bob", realm="example.com", nonce="{s}", response="{s}"',
    'Proxy-Authorization: Digest username="bob",\r\n response="{s}",\r\n\tcnonce="{s}"',
    "Authorization: Bearer {s}",
    "Authentication-Info: rspauth={s}",
    "Proxy-Authorization: {s}",
    "P-Asserted-Identity: <sip:alice:{s}@example.com>",
    "Refer-To: <sip:bob@example.com?X-Token={s}>",
    "Contact: <sip:alice@192.0.2.1;auth_token={s};ob>",
    "Call-Info: <https://user:{s}@example.com/card>;purpose=card",
    'Reason: SIP;cause=403;text="Bearer {s} has expired"',
    "User-to-User: redis://:{s}@cache/0",
)
SDP_LINES = (
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{s}|2^20|1:4",
    "a=crypto:2 AES_256_CM_HMAC_SHA1_80 inline:{s};inline:{s}",
    "k=clear:{s}",
    "k=base64:{s}",
    "a=key-mgmt:mikey {s}",
    "a=ice-pwd:{s}",
)
URLS = (
    "https://alice:{s}@example.com/voice",
    "https://example.com/voice?token={s}&call=1",
    "https://example.com/voice?call=1&api_key={s}#here",
    "https://example.com/voice?next=https%3A%2F%2Fx%2F%3Fpassword%3D{s}%26a%3D1",
    "https://example.com/a.wav?X-Amz-Credential={s}&X-Amz-Signature={s}",
    "https://example.com/voice;jsessionid={s}?a=1",
)
BODIES = (
    '<Response><Dial><Sip username="u" password="{s}">sip:a@b</Sip></Dial></Response>',
    "<Response><Dial action='/x?token={s}'><Sip password='{s}'>sip:a@b</Sip></Dial></Response>",
    "<config><password>{s}</password><ns:apiKey kind='x'>\n{s}\n</ns:apiKey></config>",
    "<auth><secret><![CDATA[{s}]]></secret></auth>",
    '{{"user": "u", "password": "{s}", "n": 1}}',
    '{{"accessToken":"{s}","refresh_token" : "{s} with \\" in it {s}"}}',
    '{{"Authorization": "Bearer {s}", "nested": {{"client-secret": "{s}"}}}}',
    '{{"text": "{{\\"token\\": \\"{s}\\"}}"}}',
    "{{'password': '{s}'}}",
    "user=u&password={s}&remember=1",
    '--x\r\nContent-Disposition: form-data; name="password"\r\nContent-Type: text/plain\r\n\r\n{s}\r\n--x--',
    "HTTP/1.1 401 Unauthorized\r\nSet-Cookie: id={s}\r\n\r\n",
    "db: postgresql://app:{s}@db/calls\npassword: {s}\n",
    '{{"password": "{s}',  # cut in the middle
)
PARAMETERS = ("Password", "auth_token", "SipHeader_X-Secret", "SipHeader_Authorization", "apikey", "Cookie")
WORDS = (
    "cannot connect to sip:alice:{s}@example.com",
    "401 for https://example.com/?secret={s}",
    "the application said token: {s}",
    "refused, Bearer {s}",
)


def planted() -> list[tuple[Kind, dict[str, Json]]]:
    """Everything, in the shapes that call control gives it."""
    number = 0

    def plant(text: str) -> str:
        nonlocal number
        number += 1
        return text.format(s=f"{S}{number}x")

    found: list[tuple[Kind, dict[str, Json]]] = []
    for field in SIP_FIELDS:
        begin = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"
        raw = f"{begin}\r\n{plant(field)}\r\nContent-Length: 0\r\n\r\n"
        found.append((Kind.SIP, {"direction": "in", "peer": "192.0.2.1:5060", "transport": "udp", "summary": "INVITE sip:bob", "raw": raw}))
    for line in SDP_LINES:
        raw = f"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n{plant(line)}\r\na=sendrecv\r\n"
        found.append((Kind.SIP, {"direction": "in", "summary": "200 OK (INVITE)", "raw": raw}))
    found.append((Kind.SIP, {"summary": plant("INVITE sip:alice:{s}@example.com;token={s}"), "raw": ""}))
    for url in URLS:
        found.append((Kind.HTTP, {"purpose": "voice", "url": plant(url), "detail": plant(f"cannot fetch {url}")}))
        found.append((Kind.VERB, {"verb": "Dial", "action": plant(url), "nouns": [plant("sip:a:{s}@h;password={s}")]}))
    for body in BODIES:
        found.append((Kind.HTTP, {"purpose": "voice", "url": "https://h/", "body": plant(body)}))
    pairs: list[Json] = [[name, plant("{s}")] for name in PARAMETERS]
    pairs += [["From", plant("sip:alice:{s}@example.com")], ["SipHeader_X-Info", plant("token={s}")]]
    found.append((Kind.HTTP, {"purpose": "voice", "url": "https://h/", "parameters": pairs}))
    found.append(
        (Kind.STATE, {"status": "failed", "secret": plant("{s}"), "nested": {"token": [plant("{s}")], "x": {"pwd": plant("{s}")}}})
    )
    for words in WORDS:
        found.append((Kind.NOTICE, {"code": 1, "level": "error", "message": plant(words), "url": "", "line": 0}))
        found.append((Kind.OUTCOME, {"event": "call", "cause": "failed", "text": plant(words)}))
    assert number >= 31
    return found


async def test_no_planted_secret_is_stored_and_what_stands_beside_is(tmp_path: Path) -> None:
    settings = load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_STORAGE__RETENTION_DAYS": "0"})
    database = Database(settings)
    await database.start()
    recorder = Recorder(settings.storage, database.writer, Metrics("1"), WallClock(0.0, 1_780_000_000.0))
    notes = planted()
    for n, (kind, data) in enumerate(notes):
        recorder.note(Note(CALL, float(n), kind, data))
    live = recorder.timeline(CALL) or []
    for words in (*WORDS, *URLS):
        said = words.format(s=S)
        recorder.keep(Notification(CALL, 1.0, 11200, "error", said, said if "://" in said else ""))
    ended = CallEnded(Cause.FAILED, By.SERVER, 500, WORDS[0].format(s=S))
    recorder.keep(CallRecord(CALL, "", "AC1", "inbound", "a", "b", 1.0, None, 2.0, 0, 0, ended, "id"))
    await database.writer.flush()
    stored = await database.reader.timeline(CALL)
    rest = (*await database.reader.notifications(CALL), await database.reader.call(CALL))
    await database.stop()

    assert len(stored) == len(notes)
    assert [str(entry) for entry in (*live, *stored, *rest) if "S3cret" in str(entry)] == []
    # What one needs to see why something failed is still there.
    text = str([dict(entry.data) for entry in stored])
    for kept in (
        'username="bob", realm="example.com", ***',
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***|2^20|1:4",
        "a=sendrecv",
        "https://alice:***@example.com/voice",
        "https://example.com/voice?token=***&call=1",
        '"password": "***", "n": 1}',
        '<Sip username="u" password="***">sip:a@b</Sip>',
        "X-Auth-Token: ***",
        "user=u&password=***&remember=1",
        "postgresql://app:***@db/calls",
    ):
        assert kept in text or kept.replace("'", "\\'") in text, kept


@pytest.mark.parametrize(
    "text",
    [
        "INVITE sip:+15550100@example.com SIP/2.0",
        "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2",
        'WWW-Authenticate: Digest realm="example.com", nonce="abc", algorithm=MD5',
        "Security-Client: ipsec-3gpp; alg=hmac-sha-1-96; spi-c=1111",
        "tokens_left=5, keys: 3, keyboard: yes",
        "the passwordless way; a secretary: Ms. Key",
        'Reason: Q.850;cause=88;text="Bearer capability not available"',
        "To: <sip:alice@example.com>;tag=1928301774",
        "From: <sip:alice@example.com>;tag=a\r\nCall-ID: 1:2@host\r\nContact: sip:b@192.0.2.1:5060",
        '<Dial timeout="30" callerId="+1">sip:a@b:5060</Dial>',
        "a=fingerprint:sha-256 AB:CD:EF",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hide_secrets(text) == text
