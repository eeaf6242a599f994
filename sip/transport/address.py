"""Small truths about addresses that only the kernel knows."""

from __future__ import annotations

import socket
from functools import lru_cache

WILDCARDS = ("0.0.0.0", "::")
# Documentation addresses (RFC 5737, RFC 3849): they are nobody's, so the route to them is the default route.
_FAR_AWAY = {4: "192.0.2.1", 6: "2001:db8::1"}


def ip_version(host: str) -> int | None:
    """4 or 6 for an IP literal, None for a name."""
    return _ip_version(host) if len(host) <= 64 else None


@lru_cache(4096)
def _ip_version(host: str) -> int | None:
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):  # ValueError: a NUL in the text
            continue
        return version
    return None


def source_towards(host: str) -> str:
    """The address of this machine that packets to `host` (an IP literal) carry as their source; "" where there is no route.

    Nothing is sent: a connected UDP socket tells it.
    """
    try:
        with socket.socket(socket.AF_INET6 if ip_version(host) == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""


def local_address_towards(host: str) -> str:
    """The same; loopback where there is no route at all."""
    return source_towards(host) or ("::1" if ip_version(host) == 6 else "127.0.0.1")


def reachable_form(bind_host: str) -> str:
    """The address that others reach a socket by: itself, or for a wildcard the one that the default route uses."""
    if bind_host not in WILDCARDS:
        return bind_host
    return local_address_towards(_FAR_AWAY[6 if ":" in bind_host else 4])
