"""Whether this machine can run a configuration: what `dialplane check` tells, and `dialplane run` before it starts.

Nothing is changed. Addresses are tried by binding them for a moment, unless a server runs on the state directory already, which then has
them itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from config.consistency import Finding, contradictions, doubts
from config.errors import Problem
from config.hiding import hide_url
from config.load import Loaded, known_keys
from config.settings import Settings, networks
from config.state import is_held
from config.types import HostPort, address_of, parse_host_port, parse_listen
from media.errors import WorkerUnavailable
from media.worker_process import find_worker
from server import limits
from server.applications.guard import Guard
from server.routing import Routing
from server.storage.database import DRIVERS, StorageError, open_database
from sip.transport.tls import Tls, TlsUnusable

UNIX_PATH_MAX = 107  # sockaddr_un.sun_path without its final zero


def problems(loaded: Loaded) -> list[Problem]:
    """Everything for which the server cannot start, or could not serve calls."""
    settings = loaded.settings
    found = [*contradictions(settings), *_addresses(settings), *_files(settings), *_storage(settings), *_descriptors(settings)]
    return [one.problem(loaded.source) for one in found]


def warnings(loaded: Loaded) -> list[Problem]:
    """What is possible, and yet most likely not meant."""
    settings = loaded.settings
    found = [
        *_calls(settings),
        *doubts(settings),
        *_blocked(settings),
        *_few_descriptors(settings),
        *_threads(settings),
        *_readable_secrets(loaded),
    ]
    return [one.problem(loaded.source) for one in found]


# --- addresses ------------------------------------------------------------------------------------------------------


def _addresses(settings: Settings) -> Iterator[Finding]:
    media = settings.media
    for name in ("bind_address", "bind_address_v6"):
        if (host := getattr(media, name)) and (error := _bind("udp", host, 0)) is not None:
            yield _unbound(("media", name), f"udp:{HostPort(host, 0)}", error, settings)
    if is_held(settings.server.state_dir):
        return
    for index, text in enumerate(settings.sip.listen):
        place = parse_listen(text)
        if (error := _bind(place.transport, place.host, place.port)) is not None:
            yield _unbound(("sip", "listen", index), text, error, settings)
    http = parse_host_port(settings.server.http_listen)
    try:
        hosts = {str(found[4][0]) for found in socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        remedy = 'Write an address of this machine, such as "127.0.0.1:8080".'
        yield Finding(("server", "http_listen"), f"the name {http.host} leads to no address", remedy)
        return
    for host in sorted(hosts):
        if (error := _bind("tcp", host, http.port)) is not None:
            yield _unbound(("server", "http_listen"), f"tcp:{HostPort(host, http.port)}", error, settings)


def _bind(transport: str, host: str, port: int) -> OSError | None:
    """As the server would, and closed at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(family, kind) as trial:
            if kind == socket.SOCK_STREAM:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind((host, port))
            if kind == socket.SOCK_STREAM:
                trial.listen(1)
    except OSError as error:
        return error
    return None


def _unbound(path: tuple[str | int, ...], place: str, error: OSError, settings: Settings) -> Finding:
    match error.errno:
        case errno.EADDRINUSE:
            return Finding(path, f"{place} is in use by another program", "Stop that one (`ss -lunpt` names it), or choose another port.")
        case errno.EADDRNOTAVAIL:
            remedy = 'Write an address that `ip address` shows, or "0.0.0.0" for all; what peers see goes into sip.advertise.'
            return Finding(path, f"{place} is no address of this machine", remedy)
        case errno.EACCES | errno.EPERM:
            remedy = "Choose a port from 1024 on, or give the service CAP_NET_BIND_SERVICE."
            return Finding(path, f"{place} is not for this user", remedy)
        case errno.EAFNOSUPPORT:
            return Finding(path, f"{place} is of a kind that this machine has not", "Leave it out, or switch IPv6 on.")
        case errno.EMFILE | errno.ENFILE:
            return Finding(path, f"{place} cannot be tried: no file descriptor is free", "Raise the limit of open files (ulimit -n).")
        case _:
            return Finding(path, f"{place} cannot be listened on: {error.strerror or error}", "Choose another address.")


# --- files and programs ---------------------------------------------------------------------------------------------


def _files(settings: Settings) -> Iterator[Finding]:
    media = settings.media
    yield from _directory(("server", "state_dir"), settings.server.state_dir)
    yield from _directory(("media", "recordings_dir"), media.recordings_dir)
    yield from _directory(("media", "prompts", "cache_dir"), media.prompts.cache_dir)
    yield from _directory(("media", "speech", "cache_dir"), media.speech.cache_dir)
    yield from _socket(media.socket_path)
    try:
        find_worker(media)
    except WorkerUnavailable as error:
        remedy = "Build it with `make worker`, or name it in media.worker_binary."
        yield Finding(("media", "worker_binary"), str(error), remedy)
    if media.worker_forward and not Path(media.worker_forward).is_dir():
        remedy = "Prepare it with `dialplane-media forward` (docs/operations.md), or leave it out."
        yield Finding(("media", "worker_forward"), f"there is no directory {media.worker_forward}", remedy)
    if media.speech.command and shutil.which(media.speech.command[0]) is None:
        remedy = "Install it, write its whole path, or leave command out for the built-in engine."
        yield Finding(("media", "speech", "command"), f"{media.speech.command[0]} is no program", remedy)
    if settings.sip.speaks_tls and settings.sip.tls.certificate:
        try:
            Tls(settings.sip.tls)
        except TlsUnusable as error:
            yield Finding(("sip", "tls", error.setting), error.said, error.remedy)
    if settings.http.ca_file:
        try:
            ssl.create_default_context().load_verify_locations(settings.http.ca_file)
        except (OSError, ssl.SSLError) as error:
            said = "is no PEM file of certificates" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror or error}"
            yield Finding(("http", "ca_file"), f"{settings.http.ca_file} {said}", "Name a file of certificates in PEM, or leave it out.")


def _directory(path: tuple[str | int, ...], name: str) -> Iterator[Finding]:
    """It is a directory that can be written, or could be made."""
    directory = Path(name)
    remedy = "Name another directory, or give this user the right to write there."
    try:
        nearest = next(parent for parent in (directory, *directory.parents) if parent.exists())
        if not nearest.is_dir():
            yield Finding(path, f"{nearest} is a file, no directory", "Name another directory.")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield Finding(path, f"{directory} cannot be written by this user", remedy)
    except (OSError, ValueError) as error:
        yield Finding(path, f"{directory} cannot be looked at: {error}", remedy)


def _socket(name: str) -> Iterator[Finding]:
    path = ("media", "socket_path")
    if len(os.fsencode(name)) > UNIX_PATH_MAX:
        remedy = "Write a shorter one, such as /run/dialplane/media.sock."
        yield Finding(path, f"{name} is longer than the {UNIX_PATH_MAX} octets that a Unix socket may have", remedy)
        return
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.stat(name).st_mode):
            yield Finding(path, f"{name} is there and no socket", "Name another place, or remove what is there.")
    yield from _directory(path, str(Path(name).parent))


def _storage(settings: Settings) -> Iterator[Finding]:
    path, url = ("storage", "url"), settings.storage.url
    known = 'Write for example "postgresql+asyncpg://user:password@host/name", or leave it out for SQLite.'
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError:
        yield Finding(path, "it is not a database URL", known)
        return
    if backend not in DRIVERS:
        yield Finding(path, f"{backend} is no database that is known here", known)
        return
    if backend == "sqlite":
        database = parsed.database or ""
        if database in ("", ":memory:"):
            yield Finding(path, "a database in memory is lost at every end, and no tool can read it", "Name a file, or leave it out.")
        elif not Path(database).is_absolute():
            remedy = f'Write the whole path, such as "sqlite+aiosqlite:///{Path(database).absolute()}".'
            yield Finding(path, f"{database} is a relative path", remedy)
        else:
            yield from _directory(path, str(Path(database).parent))
        return
    if not parsed.host and "host" not in parsed.query:
        yield Finding(path, "it names no host", known)
        return
    try:
        open_database(url)
    except StorageError:
        remedy = f"Install it beside dialplane: pip install {DRIVERS[backend]}"
        yield Finding(path, f"the driver of {backend} is not there, or does not fit {hide_url(url)}", remedy)


# --- descriptors ----------------------------------------------------------------------------------------------------


def _threads(settings: Settings) -> Iterator[Finding]:
    threads, processors = settings.media.worker_threads, os.cpu_count() or 1
    if threads > processors:
        remedy = f"Set it to {processors} or less."
        yield Finding(("media", "worker_threads"), f"{threads} threads share {processors} processors of this machine", remedy)


def _descriptors(settings: Settings) -> Iterator[Finding]:
    limit, wanted = limits.hard_limit(), limits.wanted_by_worker(settings)
    if limits.calls_of_worker(limit) < 1 or limit < 2 * limits.OWN:
        message = f"the limit of open files is {limit}, and no call fits into that: max_calls = {settings.server.max_calls} wants {wanted}"
        yield Finding(("server", "max_calls"), message, _raise_to(wanted))


def _few_descriptors(settings: Settings) -> Iterator[Finding]:
    limit, worker, control = limits.hard_limit(), limits.wanted_by_worker(settings), limits.wanted_by_control(settings)
    calls = limits.calls_of_worker(limit)
    if 1 <= calls < settings.server.max_calls:
        message = (
            f"the limit of open files is {limit}, enough for {calls} calls: the media worker wants {worker} for {settings.server.max_calls}"
        )
        yield Finding(("server", "max_calls"), message, f"{_raise_to(worker)} Or set max_calls to {calls}.")
    if limit < control:
        connections = settings.sip.transport.max_connections
        message = (
            f"the limit of open files is {limit}: {connections} connections and those to applications (`[http]`) together want {control}"
        )
        yield Finding(("sip", "transport", "max_connections"), message, f"{_raise_to(control)} Or let fewer in.")


def _raise_to(wanted: int) -> str:
    return f"Raise it: LimitNOFILE={wanted} in the systemd unit, --ulimit nofile={wanted} with Docker, ulimit -Hn {wanted} in a shell."


# --- warnings -------------------------------------------------------------------------------------------------------


def _calls(settings: Settings) -> Iterator[Finding]:
    routing = Routing(settings)
    if not any(trunk.allow for trunk in settings.trunks):
        yield Finding(("trunks",), "nobody may call in: every INVITE gets 403", "Add [[trunks]] with allow.")
    for index, trunk in enumerate(settings.trunks):
        if any(network.prefixlen == 0 for network in networks(trunk.allow)):
            message = f'trunk "{trunk.name}" lets everybody in; scanners find open servers within hours'
            yield Finding(("trunks", index, "allow"), message, "Name the carrier's addresses.")
    if not settings.numbers:
        yield Finding(("numbers",), "no number is answered: every call gets 404", "Add [[numbers]] with number and voice_url.")
    for bad in routing.bad_patterns:
        index = next(i for i, number in enumerate(settings.numbers) if number.regex and number.number == bad.pattern)
        message = f'the pattern "{bad.pattern}" cannot be read and matches nothing: {bad.error}'
        yield Finding(("numbers", index, "number"), message, "Mend it, or leave regex out for a plain number.")
    if routing.outbound_trunk() is None:
        yield Finding(("trunks",), "<Dial> cannot call a <Number>", f"{routing.no_outbound()}.")


def _blocked(settings: Settings) -> Iterator[Finding]:
    """Applications at literal addresses that the guard would refuse. Names are not looked up."""
    guard = Guard(settings.http)
    for index, number in enumerate(settings.numbers):
        for name in ("voice_url", "fallback_url", "status_callback"):
            url = getattr(number, name)
            host = urlsplit(url).hostname or ""
            address = "127.0.0.1" if host == "localhost" else host
            if address_of(address) is not None and (refusal := guard.refusal(address)) is not None:
                message, _, remedy = refusal.partition("; ")
                message = f'number "{number.number}": {hide_url(url)} will not be asked: {message}'
                yield Finding(("numbers", index, name), message, f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "")


def _readable_secrets(loaded: Loaded) -> Iterator[Finding]:
    """A password in a file that everybody on the machine can read."""
    if loaded.file is None:
        return
    try:
        mode = stat.S_IMODE(loaded.file.stat().st_mode)
    except OSError:
        return
    if not mode & stat.S_IROTH:
        return
    for path in _secrets(loaded.settings):
        if loaded.source.is_in_file(path):
            remedy = f"chmod o-r {loaded.file}, or put it into an environment variable."
            yield Finding(path, f"everybody on this machine can read it in {loaded.file}", remedy)


def _secrets(settings: Settings) -> Iterator[tuple[str | int, ...]]:
    """The paths of all secrets that are set."""
    for path, _ in known_keys():
        places: list[tuple[tuple[str | int, ...], object]] = [((), settings)]
        for part in path:
            if isinstance(part, int):
                places = [((*at, i), entry) for at, value in places if isinstance(value, tuple) for i, entry in enumerate(value)]
            else:
                places = [((*at, part), getattr(value, part)) for at, value in places]
        for at, value in places:
            if isinstance(value, SecretStr) and value.get_secret_value():
                yield at
