"""Bindings of the registrar as rows of the database, and back: where clients are survives a restart. Pure.

A binding that is over is written as a row that has expired, so that coming and going are one kind of row, and the last one counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from server.observability.clock import WallClock
from server.storage.rows import RegistrationRow
from sip.core.bindings import LEFT, Binding, Change
from sip.core.flows import Address, Flow, Listener
from sip.core.routing import listener_of, unreachable_contact
from sip.message.uri import parse_uri


def row_of(binding: Binding, change: Change, instance_id: str, clock: WallClock, now: float) -> RegistrationRow:
    name = hashlib.blake2b(f"{instance_id}\n{binding.key}".encode("utf-8", "replace"), digest_size=16).hexdigest()
    flow = binding.flow
    return RegistrationRow(
        sid=f"RG{name}",
        client=binding.client,
        contact=binding.contact,
        call_id=binding.call_id,
        cseq=binding.cseq,
        transport=flow.transport,
        local_host=flow.local.host,
        local_port=flow.local.port,
        remote_host=flow.remote.host,
        remote_port=flow.remote.port,
        hops=binding.hops,
        urn=binding.instance,
        reg_id=binding.reg_id,
        user_agent=binding.user_agent,
        heard_at=clock.at(now),
        expires_at=clock.at(now if change in LEFT else binding.expires_at),
    )


def bindings_of(rows: Sequence[RegistrationRow], listeners: Sequence[Listener], clock: WallClock, now: float) -> Iterator[Binding]:
    """What can still be reached, the one heard of last at last. A connection of an earlier run is gone, and with it whoever is reached
    by nothing else; a socket that is not there any more is replaced by one of ours."""
    for row in sorted(rows, key=lambda row: row.heard_at):
        remote = Address(row.remote_host, row.remote_port)
        flow = Flow(row.transport, Address(row.local_host, row.local_port), remote)
        listener = listener_of(listeners, flow)
        if listener is None or (flow.reliable and unreachable_contact(parse_uri(row.contact), flow)):
            continue
        yield Binding(
            client=row.client,
            contact=row.contact,
            call_id=row.call_id,
            cseq=row.cseq,
            flow=replace(flow, local=listener.bind),
            expires_at=now + (row.expires_at - clock.at(now)).total_seconds(),
            hops=row.hops,
            instance=row.urn,
            reg_id=row.reg_id,
            user_agent=row.user_agent,
        )
