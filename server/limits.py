"""File descriptors: how many there are, and how many are wanted."""

from __future__ import annotations

import logging
import resource

from config.settings import Settings

log = logging.getLogger(__name__)

MOST = 1 << 20  # more than anybody wants; some programs walk through all that they may have
OWN = 64  # of a process for itself: its sockets, its database, its log, its children
PER_STREAM = 3  # of the worker for a leg: RTP, RTCP, a recording or a prompt
LEGS = 2


def hard_limit() -> int:
    """Descriptors that a process of this user may have, with what `raise_soft_limit` does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)


def raise_soft_limit() -> None:
    """Take what the hard limit gives, for this process and those that it starts; the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard_limit()
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("descriptor_limit_stays", extra={"limit": soft, "wanted": wanted, "reason": str(error)})


def wanted_by_worker(settings: Settings) -> int:
    return OWN + PER_STREAM * LEGS * settings.server.max_calls


def calls_of_worker(limit: int) -> int:
    """Calls of two legs that a worker with so many descriptors carries."""
    return max(0, limit - OWN) // (PER_STREAM * LEGS)


def wanted_by_control(settings: Settings) -> int:
    """All SIP connections, and all connections for documents, events and audio, at the same time."""
    http = settings.http
    return OWN + settings.sip.transport.max_connections + http.max_concurrent + http.max_events + http.max_downloads
