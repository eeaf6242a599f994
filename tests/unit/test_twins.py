"""Tests mirror the sources: the rules of `sip/core/digest.py` are in `tests/unit/sip/core/test_digest.py`, where everybody looks for them.

A module that defines no function (values, tables, errors) has no rules, and needs no twin.
"""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.sources import ROOT, Module, sources

UNIT = "tests/unit"

# Modules without a twin, and where their rules are tested instead; "" is nowhere in the unit tests
# (the SIP transports are driven with real sockets in tests/driver). The list may only shrink.
WITHOUT_A_TWIN = {
    "config/errors.py": "tests/unit/config/test_load.py",
    "config/settings.py": "tests/unit/config/test_load.py",
    "config/types.py": "tests/unit/config/test_load.py",
    "media/errors.py": "tests/unit/media/sdp/test_offer_answer.py",
    "media/prompts/decoder.py": "tests/unit/media/prompts/test_files.py",
    "media/prompts/espeak_child.py": "tests/unit/media/prompts/test_speech.py",
    "media/prompts/flights.py": "tests/unit/media/prompts/test_files.py",
    "media/sdp/formats.py": "tests/unit/media/sdp/test_codecs.py",
    "rcml/errors.py": "tests/unit/rcml/test_document.py",
    "rcml/notices.py": "tests/unit/rcml/test_vectors.py",
    "rcml/reader.py": "tests/unit/rcml/test_document.py",
    "rcml/verbs/hangup.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/pause.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/play.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/redirect.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/reject.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/say.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/unsupported.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "rcml/verbs/verb.py": "tests/unit/rcml/verbs/test_other_verbs.py",
    "server/api/app.py": "tests/unit/server/api/test_api.py",
    "server/api/documents.py": "tests/unit/server/api/test_rest.py",
    "server/api/faces.py": "tests/unit/server/api/test_rest.py",
    "server/api/filters.py": "tests/unit/server/api/test_rest.py",
    "server/api/forms.py": "tests/unit/server/api/test_rest.py",
    "server/api/paging.py": "tests/unit/server/api/test_rest.py",
    "server/api/problems.py": "tests/unit/server/api/test_rest.py",
    "server/api/resources/account.py": "tests/unit/server/api/test_rest.py",
    "server/api/resources/calls.py": "tests/unit/server/api/test_rest.py",
    "server/api/resources/notifications.py": "tests/unit/server/api/test_rest.py",
    "server/api/resources/recordings.py": "tests/unit/server/api/test_rest.py",
    "server/api/routes.py": "tests/unit/server/api/test_rest.py",
    "server/applications/exchange.py": "tests/unit/server/applications/test_fetch.py",
    "server/applications/failures.py": "tests/unit/server/applications/test_fetch.py",
    "server/applications/unpacking.py": "tests/unit/server/applications/test_fetch.py",
    "server/applications/visits.py": "tests/unit/server/applications/test_fetch.py",
    "server/calls/call.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/documents.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/engine_events.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/legs/inbound.py": "tests/unit/server/calls/test_races.py",
    "server/calls/legs/media.py": "tests/unit/server/calls/test_media.py",
    "server/calls/legs/outbound.py": "tests/unit/server/calls/test_races.py",
    "server/calls/legs/party.py": "tests/unit/server/calls/test_media.py",
    "server/calls/mediafacts.py": "tests/unit/server/calls/test_media.py",
    "server/calls/names.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/outbox.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/outcome.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/passage.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/policy.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/script.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/verbs/dial.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/verbs/dial_result.py": "tests/unit/server/calls/test_flows.py",
    "server/calls/verbs/hangup.py": "tests/unit/server/calls/verbs/test_flow.py",
    "server/calls/verbs/invalid.py": "tests/unit/server/calls/verbs/test_flow.py",
    "server/calls/verbs/pause.py": "tests/unit/server/calls/test_media.py",
    "server/calls/verbs/redirect.py": "tests/unit/server/calls/verbs/test_flow.py",
    "server/calls/verbs/reject.py": "tests/unit/server/calls/verbs/test_flow.py",
    "server/calls/verbs/running.py": "tests/unit/server/calls/verbs/test_new_verb.py",
    "server/calls/verbs/say.py": "tests/unit/server/calls/test_media.py",
    "server/calls/verbs/speaking.py": "tests/unit/server/calls/test_media.py",
    "server/calls/verbs/talk.py": "tests/unit/server/calls/test_races.py",
    "server/cli/calls.py": "tests/unit/server/cli/test_cli.py",
    "server/cli/check.py": "tests/unit/server/cli/test_cli.py",
    "server/cli/config.py": "tests/unit/server/cli/test_cli.py",
    "server/cli/main.py": "tests/unit/server/cli/test_cli.py",
    "server/cli/terminal.py": "tests/unit/server/cli/test_cli.py",
    "server/cli/timeline.py": "tests/unit/server/cli/test_cli.py",
    "server/events.py": "tests/sipp/test_events.py",
    "server/orders.py": "tests/unit/server/api/test_rest.py",
    "server/storage/lists.py": "tests/unit/server/api/test_rest.py",
    "server/observability/garbage.py": "tests/simulation/test_garbage.py",
    "server/observability/metrics.py": "tests/unit/server/timeline/test_recorder.py",
    "server/patterns/__init__.py": "tests/unit/server/patterns/test_automaton.py",
    "server/storage/database.py": "tests/unit/server/storage/test_storage.py",
    "server/storage/housekeeping.py": "tests/unit/server/storage/test_storage.py",
    "server/storage/reader.py": "tests/unit/server/storage/test_storage.py",
    "server/storage/rows.py": "tests/unit/server/storage/test_storage.py",
    "server/storage/schema.py": "tests/unit/server/storage/test_storage.py",
    "server/storage/writer.py": "tests/unit/server/storage/test_storage.py",
    "server/timeline/export.py": "tests/unit/server/api/test_api.py",
    "sip/core/cancelling.py": "tests/unit/sip/core/test_outgoing_session.py",
    "sip/core/capabilities.py": "tests/unit/sip/core/test_out_of_dialog.py",
    "sip/core/checks.py": "tests/unit/sip/core/test_endpoint.py",
    "sip/core/client_invite.py": "tests/unit/sip/core/test_machines.py",
    "sip/core/client_request.py": "tests/unit/sip/core/test_machines.py",
    "sip/core/commands.py": "tests/unit/sip/core/test_session.py",
    "sip/core/context.py": "tests/unit/sip/core/test_endpoint.py",
    "sip/core/dialog.py": "tests/unit/sip/core/test_session.py",
    "sip/core/dialog_usage.py": "tests/unit/sip/core/test_usage.py",
    "sip/core/exchange.py": "tests/unit/sip/core/test_usage.py",
    "sip/core/flows.py": "tests/unit/sip/core/test_delivery.py",
    "sip/core/incoming.py": "tests/unit/sip/core/test_uas.py",
    "sip/core/machine.py": "tests/unit/sip/core/test_machines.py",
    "sip/core/parts.py": "tests/unit/sip/core/test_usage.py",
    "sip/core/pending.py": "tests/unit/sip/core/test_session.py",
    "sip/core/provisional.py": "tests/unit/sip/core/test_incoming_session.py",
    "sip/core/requests.py": "tests/unit/sip/core/test_out_of_dialog.py",
    "sip/core/responses.py": "tests/unit/sip/core/test_uas.py",
    "sip/core/routing.py": "tests/unit/sip/core/test_delivery.py",
    "sip/core/server_invite.py": "tests/unit/sip/core/test_machines.py",
    "sip/core/server_request.py": "tests/unit/sip/core/test_machines.py",
    "sip/core/tokens.py": "tests/unit/sip/core/test_outgoing_session.py",
    "sip/core/transactions.py": "tests/unit/sip/core/test_endpoint.py",
    "sip/core/unacked.py": "tests/unit/sip/core/test_incoming_session.py",
    "sip/errors.py": "tests/unit/sip/message/test_parse.py",
    "sip/message/grammar.py": "tests/unit/sip/message/test_fields.py",
    "sip/transport/address.py": "",
    "sip/transport/connections.py": "",
    "sip/transport/dns.py": "",
    "sip/transport/driver.py": "",
    "sip/transport/tcp.py": "",
    "sip/transport/udp.py": "",
}


def has_rules(module: Module) -> bool:
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(module.tree))


def twin(module: Module) -> Path:
    """That of a package's own file is named after the package."""
    name = module.path.parent.name if module.path.stem == "__init__" else module.path.stem
    return Path(UNIT) / module.path.parent / f"test_{name}.py"


def without_a_twin() -> set[str]:
    modules = (module for module in sources().values() if has_rules(module))
    left_out = ("server.demo", "server.storage.migrations")  # what `make run` shows; what the tests of the database run
    return {
        str(module.path)
        for module in modules
        if not module.within(*left_out) and module.path.name != "__main__.py" and not (ROOT / twin(module)).exists()
    }


def test_every_module_has_a_test_of_its_name() -> None:
    found = without_a_twin()
    assert sorted(found - WITHOUT_A_TWIN.keys()) == [], "write tests/unit/<package>/test_<module>.py"
    assert sorted(WITHOUT_A_TWIN.keys() - found) == [], "it has a twin now, or is gone: strike it from WITHOUT_A_TWIN"


def test_what_stands_in_for_a_twin_exists() -> None:
    assert [f"{path}: {where}" for path, where in WITHOUT_A_TWIN.items() if where and not (ROOT / where).is_file()] == []
