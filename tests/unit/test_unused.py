"""Nothing is defined in vain: vulture looks for names that the sources define and never use. What only a test uses is unused."""

from __future__ import annotations

import fnmatch

from vulture import Vulture

from tests.support.sources import PACKAGES, ROOT

# Read by those who are not among the sources. A pattern of paths, one of kinds and names.
READ_BY_OTHERS = (
    ("media/engine.py", "variable *"),  # the worker reads and writes the fields; tests/vectors/media/frames.json holds both sides to them
    ("*settings.py", "* model_config"),  # pydantic
    ("*settings.py", "* _*"),  # its validators
    ("config/section.py", "* model_config"),
    ("config/peers.py", "method _*"),
    ("server/api/forms.py", "* model_config"),
    ("server/api/forms.py", "method _*"),
    *(("*", f"method {name}") for name in ("connection_made", "datagram_received", "eof_received")),  # asyncio's protocols
    *(("*", f"method {name}") for name in ("get_buffer", "buffer_updated", "pause_writing", "resume_writing")),
    *(("sip/transport/*", f"variable {name}") for name in ("sizehint", "exc")),
    ("server/observability/metrics.py", "* collect"),  # prometheus_client
    ("server/storage/schema.py", "* impl"),  # SQLAlchemy's types, until the next comment
    ("server/storage/schema.py", "* cache_ok"),
    ("server/storage/schema.py", "* process_*"),
    ("server/storage/migrations/versions/*", "*"),  # Alembic
    ("media/prompts/decode_child.py", "* pts"),  # PyAV reads what is set
    *(("media/prompts/decode_child.py", f"method {name}") for name in ("readable", "readinto", "seekable")),  # what PyAV reads from
    ("server/applications/exchange.py", "attribute _*"),  # of aiohttp
    ("media/prompts/files.py", "* __call__"),  # the signature of a Protocol
)

# Known, each with the reason why it stays. The list may only shrink, and a new verb takes its part out.
NOT_USED_YET = {
    ("server/app.py", "http_address"): "for whoever embeds the server with port 0",
    ("sip/message/fields.py", "rport"): "part of a Via; a registration learns its public port by it (RFC 3581 4)",
}


def unused() -> set[tuple[str, str]]:
    vulture = Vulture()
    vulture.scavenge([str(ROOT / package) for package in PACKAGES], exclude=[str(ROOT / "media/worker/*")])
    found = {(str(item.filename.relative_to(ROOT)), item.typ, item.name) for item in vulture.get_unused_code(min_confidence=60)}
    return {(path, name) for path, kind, name in found if not read_by_others(path, f"{kind} {name}")}


def read_by_others(path: str, what: str) -> bool:
    return any(fnmatch.fnmatchcase(path, where) and fnmatch.fnmatchcase(what, pattern) for where, pattern in READ_BY_OTHERS)


def test_nothing_is_defined_in_vain() -> None:
    found = unused()
    assert sorted(found - NOT_USED_YET.keys()) == [], "unused: take it out, or say in NOT_USED_YET why it stays"
    assert sorted(NOT_USED_YET.keys() - found) == [], "used, or gone: strike it from NOT_USED_YET"
