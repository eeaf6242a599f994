"""Whether settings that are each valid fit together. Pure: what the machine has is asked elsewhere (`server.preflight`)."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import Problem
from config.load import KeyPath, Source, dotted
from config.peers import NumberSettings, TrunkSettings
from config.settings import Settings
from config.types import HostPort, ListenAddress, address_of, parse_host_port, parse_listen

PORTS_PER_CALL = 4  # RTP and RTCP of two legs
LONGEST_S = 10 * 365 * 86400.0  # ten years: what is meant for ever has a 0 for it
LONGEST_DAYS = 100 * 365.0
MAX_DATAGRAM = 65507  # octets of UDP over IPv4
MAX_BUFFER = 1 << 30
MAX_MEBIBYTES = 1 << 20
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_PLACEHOLDER = re.compile(r"\{\w*\}")
_KNOWN_PLACEHOLDERS = ("{language}", "{voice}", "{output}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong (or most likely not meant) with the setting at `path`. remedy: a sentence."""

    path: KeyPath
    message: str
    remedy: str

    @property
    def key(self) -> str:
        return dotted(self.path)

    def problem(self, source: Source) -> Problem:
        """With where the setting was said."""
        return Problem(source.of(self.path), self.key, self.message, self.remedy)


def contradictions(settings: Settings) -> Iterator[Finding]:
    """What cannot be meant, or would fail later."""
    yield from _limits(settings)
    yield from _sip(settings)
    yield from _listeners(settings)
    yield from _media(settings)
    yield from _directories(settings)
    yield from _http_and_storage(settings)
    for index, trunk in enumerate(settings.trunks):
        yield from _trunk(settings, index, trunk)
    yield from _ranges(settings)
    yield from _clients(settings)


def doubts(settings: Settings) -> Iterator[Finding]:
    """What is valid, and most likely not meant."""
    yield from _secrets_in_clear(settings)
    yield from _addresses(settings)
    for index, trunk in enumerate(settings.trunks):
        if not trunk.allow and not trunk.proxy:
            yield Finding(
                ("trunks", index), f'trunk "{trunk.name}" does nothing', "Set allow for its callers, or proxy for outgoing Numbers."
            )
        elif trunk.username and not trunk.proxy:
            yield Finding(("trunks", index, "username"), "is of no use without proxy", "Set proxy, or leave username out.")
    for index, number in enumerate(settings.numbers):
        yield from _number(settings, index, number)


# --- numbers in general ---------------------------------------------------------------------------------------------


def _limits(settings: Settings) -> Iterator[Finding]:
    """Durations and sizes that no machine keeps."""
    for path, value in _scalars(settings, ()):
        name = str(path[-1])
        if isinstance(value, float) and not math.isfinite(value):
            yield Finding(path, f"{value} is no number to count to", "Write a number; where for ever is possible, 0 means it.")
        elif name.endswith("_s") and value > LONGEST_S:
            yield Finding(
                path, f"{value:g} seconds are more than ten years", "Write a shorter time; where for ever is possible, 0 means it."
            )
        elif name.endswith("_days") and value > LONGEST_DAYS:
            yield Finding(path, f"{value:g} days are more than a century", "Write a shorter time; 0 means for ever.")
        elif name.endswith("_mib") and value > MAX_MEBIBYTES:
            yield Finding(path, f"{value} MiB are more than a machine has", f"Write at most {MAX_MEBIBYTES}.")
        elif (
            name in ("udp_buffer_bytes", "send_buffer_bytes", "max_unsent_bytes", "max_body_bytes", "max_document_bytes")
            and value > MAX_BUFFER
        ):
            yield Finding(path, f"{value} octets are more than a buffer can have", f"Write at most {MAX_BUFFER}.")


def _scalars(model: Any, at: KeyPath) -> Iterator[tuple[KeyPath, float | int]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            yield from _scalars(value, (*at, name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*at, name), value


# --- SIP ------------------------------------------------------------------------------------------------------------


def _sip(settings: Settings) -> Iterator[Finding]:
    sip, calls = settings.sip, settings.server.max_calls
    if sip.t2_s < sip.t1_s:
        yield Finding(("sip", "t2_s"), f"{sip.t2_s:g} is shorter than t1_s = {sip.t1_s:g}", "Make it longer; 4.0 is RFC 3261's.")
    if sip.timer_d_s < 32:
        yield Finding(
            ("sip", "timer_d_s"), f"{sip.timer_d_s:g} is shorter than the 32 s that RFC 3261 17.1.1.2 asks for", "Write 32.0 or more."
        )
    if not _PRINTABLE.fullmatch(sip.user_agent):
        yield Finding(("sip", "user_agent"), "it holds what a header field cannot", "Use plain printable ASCII.")
    if sip.udp_mtu_bytes > MAX_DATAGRAM:
        yield Finding(
            ("sip", "udp_mtu_bytes"), f"no datagram has {sip.udp_mtu_bytes} octets", f"Write at most {MAX_DATAGRAM}; 1300 is RFC 3261's."
        )
    if sip.max_message_bytes < sip.udp_mtu_bytes:
        remedy = f"Raise it to {sip.udp_mtu_bytes} at least."
        yield Finding(("sip", "max_message_bytes"), f"{sip.max_message_bytes} is less than udp_mtu_bytes = {sip.udp_mtu_bytes}", remedy)
    if sip.max_sessions < 2 * calls:
        remedy = f"Set it to {2 * calls} at least, or lower server.max_calls."
        yield Finding(("sip", "max_sessions"), f"{sip.max_sessions} is less than two for each of server.max_calls = {calls}", remedy)
    if sip.max_transactions < sip.max_sessions:
        remedy = f"Set it to {sip.max_sessions} at least."
        yield Finding(("sip", "max_transactions"), f"{sip.max_transactions} is less than sip.max_sessions = {sip.max_sessions}", remedy)
    transport = sip.transport
    if transport.max_connections_per_host > transport.max_connections:
        message = f"{transport.max_connections_per_host} is more than max_connections = {transport.max_connections} lets in altogether"
        yield Finding(("sip", "transport", "max_connections_per_host"), message, "Lower it, or raise max_connections.")
    if transport.idle_timeout_s < transport.message_timeout_s:
        message = f"{transport.idle_timeout_s:g} is shorter than message_timeout_s = {transport.message_timeout_s:g}"
        yield Finding(("sip", "transport", "idle_timeout_s"), message, "Make it longer, or the other one shorter.")


def _listeners(settings: Settings) -> Iterator[Finding]:
    """Sockets that take each other's place."""
    places = [parse_listen(text) for text in settings.sip.listen]
    for index, place in enumerate(places):
        for other in places[:index]:
            if place.transport == other.transport and _collide(place, other):
                name = f"{place.transport}:{HostPort(place.host, place.port)}"
                what = (
                    f"{name} stands twice" if place == other else f"{name} is part of {other.transport}:{HostPort(other.host, other.port)}"
                )
                yield Finding(("sip", "listen", index), what, "Leave one of the two out, or give it another port.")
                break
    for index, place in enumerate(places):
        if place.transport == "tls" and not settings.sip.tls.certificate:
            message = f"{settings.sip.listen[index]} cannot be without a certificate"
            remedy = "Name its PEM file here and that of its key in sip.tls.private_key, or take the tls listener out."
            yield Finding(("sip", "tls", "certificate"), message, remedy)
            break
        for other in places[:index]:
            if {place.transport, other.transport} == {"tcp", "tls"} and _collide(place, other):
                message = f"{place.transport} and {other.transport} cannot share port {place.port}"
                yield Finding(("sip", "listen", index), message, "Give tls a port of its own; 5061 is the usual one.")
    http = parse_host_port(settings.server.http_listen)
    for place in places:
        if place.transport != "udp" and _collide(place, ListenAddress("tcp", http.host, http.port)):
            message = f"{http} is where sip.listen has {place.transport}:{HostPort(place.host, place.port)}"
            yield Finding(("server", "http_listen"), message, "Give one of the two another port.")
    if http.port == 0 and not settings.server.public_url:
        remedy = "Write a port, or set server.public_url."
        yield Finding(("server", "http_listen"), "port 0 is any free one, and RecordingUrl would not know which", remedy)
    literal = address_of(settings.sip.advertise)
    if literal is not None and not any(_version(place.host) == literal.version for place in places):
        message = f"{literal} is IPv{literal.version}, and sip.listen has no such address"
        yield Finding(("sip", "advertise"), message, f"Add a listener of IPv{literal.version}, or advertise another address.")


def _collide(one: ListenAddress, other: ListenAddress) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    same_family = (":" in one.host) == (":" in other.host)
    return one.host == other.host or (same_family and (_is_wildcard(one.host) or _is_wildcard(other.host)))


# --- media ----------------------------------------------------------------------------------------------------------


def calls_by_ports(settings: Settings) -> int:
    """Calls of two legs that the range of RTP ports carries."""
    first = settings.media.port_min + settings.media.port_min % 2
    return (settings.media.port_max - first + 1) // 2 * 2 // PORTS_PER_CALL


def _media(settings: Settings) -> Iterator[Finding]:
    media, calls = settings.media, calls_by_ports(settings)
    wanted = settings.server.max_calls
    if calls < wanted and (calls < 1 or "max_calls" in settings.server.model_fields_set):
        message = f"{media.port_min} to {media.port_max} carries {calls} calls of two legs, and server.max_calls is {wanted}"
        remedy = (
            f"A call takes {PORTS_PER_CALL} ports: set port_max to {media.port_min + PORTS_PER_CALL * wanted} or more, or lower max_calls."
        )
        if media.port_min + PORTS_PER_CALL * wanted > 65535:
            remedy = f"A call takes {PORTS_PER_CALL} ports: widen the range" + (f", or set max_calls to {calls}." if calls else ".")
        yield Finding(("media", "port_max"), message, remedy)
    for text in settings.sip.listen:
        place = parse_listen(text)
        if place.transport == "udp" and media.port_min <= place.port <= media.port_max:
            message = f"port {place.port} of sip.listen lies between port_min = {media.port_min} and port_max = {media.port_max}"
            yield Finding(("media", "port_min"), message, "Move the range of RTP ports, or the listener.")
    for name in ("advertised_address", "advertised_address_v6"):
        address = address_of(getattr(media, name))
        if address is not None and (address.is_unspecified or address.is_multicast):
            message = f"{address} is an address that nobody can send to"
            yield Finding(("media", name), message, "Write the address that peers reach this machine at, or leave it out.")
    for name in ("bind_address", "bind_address_v6"):
        address = address_of(getattr(media, name))
        if address is not None and address.is_multicast:
            yield Finding(("media", name), f"{address} is an address of many machines", "Write one of this machine's addresses.")
    command = media.speech.command
    if media.speech.url and command:
        yield Finding(("media", "speech", "url"), "command is set as well, and only one engine can speak", "Leave one of them out.")
    if media.speech.url and not media.speech.url.lower().startswith(("http://", "https://")):
        yield Finding(("media", "speech", "url"), f"{media.speech.url} is no http or https URL", "Write the whole URL of the engine.")
    if command:
        if not any("{output}" in argument for argument in command[1:]):
            remedy = 'Add it, as in ["say", "-o", "{output}"].'
            yield Finding(("media", "speech", "command"), "no argument holds {output}, so nothing would come back", remedy)
        unknown = [found for argument in command for found in _PLACEHOLDER.findall(argument) if found not in _KNOWN_PLACEHOLDERS]
        if unknown:
            remedy = f"Known are {', '.join(_KNOWN_PLACEHOLDERS)}."
            yield Finding(("media", "speech", "command"), f"{unknown[0]} stands for nothing", remedy)


def _directories(settings: Settings) -> Iterator[Finding]:
    """A cache deletes what it does not use, so its directory is its own."""
    media = settings.media
    named: list[tuple[KeyPath, str]] = [
        (("server", "state_dir"), settings.server.state_dir),
        (("media", "recordings_dir"), media.recordings_dir),
        (("media", "prompts", "cache_dir"), media.prompts.cache_dir),
        (("media", "speech", "cache_dir"), media.speech.cache_dir),
    ]
    seen: dict[str, KeyPath] = {}
    for path, directory in named:
        if not directory:
            continue
        plain = os.path.normpath(directory)
        if plain in seen:
            remedy = "Give each a directory of its own: caches delete files, and recordings are looked after one by one."
            yield Finding(path, f"{plain} is {dotted(seen[plain])} as well", remedy)
        if plain == Path(plain).anchor:
            yield Finding(path, f"{plain} is the root of the file system", "Name a directory of its own.")
        seen.setdefault(plain, path)


# --- HTTP, storage --------------------------------------------------------------------------------------------------


def _http_and_storage(settings: Settings) -> Iterator[Finding]:
    http, storage = settings.http, settings.storage
    if http.max_per_host > http.max_concurrent and "max_per_host" in http.model_fields_set:
        message = f"{http.max_per_host} is more than max_concurrent = {http.max_concurrent} lets open altogether"
        yield Finding(("http", "max_per_host"), message, "Lower it, or raise max_concurrent.")
    if storage.batch_max > storage.queue_max:
        message = f"{storage.batch_max} is more than queue_max = {storage.queue_max} lets wait"
        yield Finding(("storage", "batch_max"), message, "Lower it, or raise queue_max.")


# --- trunks ---------------------------------------------------------------------------------------------------------


def _trunk(settings: Settings, index: int, trunk: TrunkSettings) -> Iterator[Finding]:
    places = [parse_listen(text) for text in settings.sip.listen]
    for name in ("proxy", "fallback_proxy"):
        uri = getattr(trunk, name)
        if not uri:
            continue
        path = ("trunks", index, name)
        host, port, transport = _proxy_place(uri)
        literal = address_of(host)
        fitting = [place for place in places if not transport or place.transport == transport]
        if literal is not None:
            fitting = [place for place in fitting if _version(place.host) == literal.version]
        if not fitting:
            what = f"{transport.upper() or 'SIP'}{f' over IPv{literal.version}' if literal is not None else ''}"
            example = f'"{transport or "udp"}:{"[::]" if literal is not None and literal.version == 6 else "0.0.0.0"}:{port}"'
            yield Finding(path, f"{uri} wants {what}, and no socket of sip.listen speaks that", f"Add {example} to sip.listen.")
        elif literal is not None and any(port == place.port and str(literal) == place.host for place in fitting):
            yield Finding(path, f"{uri} is this server itself: calls would come back for ever", "Name the carrier's proxy.")
    if trunk.fallback_proxy and trunk.fallback_proxy == trunk.proxy:
        remedy = "Name another, or leave it out."
        yield Finding(("trunks", index, "fallback_proxy"), "it is the same as proxy, so it falls back on nothing", remedy)


def _ranges(settings: Settings) -> Iterator[Finding]:
    """One range in two trunks: only the first would ever get its calls."""
    seen: dict[str, str] = {}
    for index, trunk in enumerate(settings.trunks):
        for text in trunk.allow:
            if text in seen:
                again = (
                    f'{text} stands twice in trunk "{trunk.name}"' if seen[text] == trunk.name else f'{text} is in trunk "{seen[text]}" too'
                )
                yield Finding(("trunks", index, "allow"), again, "Leave it in one of them: the first trunk gets its calls.")
            seen.setdefault(text, trunk.name)


def _proxy_place(uri: str) -> tuple[str, int, str]:
    """(host, port, transport or empty) of a checked proxy URI."""
    scheme, _, rest = uri.partition(":")
    place, _, parameters = rest.partition(";")
    transport = next((p.partition("=")[2].lower() for p in parameters.split(";") if p.partition("=")[0].lower() == "transport"), "")
    transport = "tls" if scheme.lower() == "sips" else transport
    port = 5061 if transport == "tls" else 5060
    if re.search(r"\]$|^[^:]*$", place):
        return place.strip("[]"), port, transport
    found = parse_host_port(place)
    return found.host, found.port, transport


def _clients(settings: Settings) -> Iterator[Finding]:
    for index, client in enumerate(settings.clients):
        if not client.can_prove_it:
            remedy = f"Write the lines that `dialplane client {client.name}` makes, or a password."
            yield Finding(("clients", index), f'client "{client.name}" has no password, so it cannot register', remedy)
        elif not any(client.has_digest(name) for name in settings.registrar.algorithms):
            message = (
                f'client "{client.name}" has no digest for {" or ".join(settings.registrar.algorithms)}, which registrar.algorithms wants'
            )
            yield Finding(("clients", index), message, "Write both lines that `dialplane client` makes.")
    if settings.registrar.min_expires_s > settings.registrar.max_expires_s:
        message = f"{settings.registrar.min_expires_s} is more than registrar.max_expires_s, {settings.registrar.max_expires_s}"
        yield Finding(("registrar", "min_expires_s"), message, "Nobody could register: make it smaller.")


# --- doubts ---------------------------------------------------------------------------------------------------------


def _secrets_in_clear(settings: Settings) -> Iterator[Finding]:
    tls = any(parse_listen(text).transport == "tls" for text in settings.sip.listen)
    mandatory: list[KeyPath] = [("media", "srtp")] if settings.media.srtp == "mandatory" else []
    mandatory += [("trunks", index, "srtp") for index, trunk in enumerate(settings.trunks) if trunk.srtp == "mandatory"]
    for path in mandatory:
        if not tls:
            message = "the keys of encrypted media travel in SIP, which sip.listen has no TLS for: whoever sees the SIP can hear the calls"
            yield Finding(path, message, "Keep SIP on a network that you trust (a VPN, IPsec), or let a proxy in front speak TLS.")
    if settings.sip.tls.client_certificates != "none" and not settings.sip.tls.ca_file:
        message = "any authority of the system vouches for whoever connects: everybody can have such a certificate"
        yield Finding(("sip", "tls", "client_certificates"), message, "Set sip.tls.ca_file to the authority of your peers.")
    if not settings.sip.tls.verify_peers:
        message = "whoever is between us and a trunk may pass for it, and hear what is said"
        yield Finding(("sip", "tls", "verify_peers"), message, "Set sip.tls.ca_file to the trunk's authority instead.")
    token = settings.server.api_token.get_secret_value()
    if token and len(token) < 16:
        remedy = "Leave it out to have one made, or use `openssl rand -hex 32`."
        yield Finding(("server", "api_token"), f"a token of {len(token)} characters can be guessed", remedy)


def _addresses(settings: Settings) -> Iterator[Finding]:
    places = [parse_listen(text) for text in settings.sip.listen]
    specific = [place for place in places if not _is_wildcard(place.host)]
    if settings.sip.advertise and specific:
        literal = address_of(settings.sip.advertise)
        place = next((p for p in specific if literal is None or _version(p.host) == literal.version), None)
        if place is not None and settings.sip.advertise != place.host:
            bound = f"{place.transport}:{HostPort(place.host, place.port)}"
            message = f"{settings.sip.advertise} is written into every message, although {bound} is what is listened on"
            remedy = "Right behind a NAT that passes that address on to this one; else leave advertise out, or listen on the wildcard."
            yield Finding(("sip", "advertise"), message, remedy)
    yield from _only_here(settings, places)
    if not settings.server.public_url and _is_wildcard(parse_host_port(settings.server.http_listen).host):
        message = f"RecordingUrl begins with {settings.server.base_url}, which only this machine can fetch"
        yield Finding(("server", "public_url"), message, "Set it to the address that applications reach this server at.")
    calls = calls_by_ports(settings)
    if 1 <= calls < settings.server.max_calls and "max_calls" not in settings.server.model_fields_set:
        message = f"{settings.media.port_min} to {settings.media.port_max} carries {calls} calls of two legs, fewer than server.max_calls"
        yield Finding(("media", "port_max"), message, f"Set server.max_calls to {calls}, or widen the range.")
    if any(ipaddress.ip_network(text).prefixlen == 0 for text in settings.http.allow):
        remedy = "Name the networks of your applications."
        yield Finding(("http", "allow"), "every address is open to requests, this machine's and the cloud's metadata too", remedy)
    if not settings.http.deny:
        remedy = "Leave deny out, and open what is needed with http.allow."
        yield Finding(("http", "deny"), "nothing is closed to requests of applications", remedy)


def _only_here(settings: Settings, places: list[ListenAddress]) -> Iterator[Finding]:
    """Loopback told to peers who are elsewhere."""
    if all(_is_loopback(place.host) for place in places):
        return
    remedy = "Write the address that peers reach this machine at, or leave it out."
    named: list[tuple[KeyPath, str]] = [(("sip", "advertise"), settings.sip.advertise)]
    for end in ("", "_v6"):
        bind, advertised = (f"{name}_address{end}" for name in ("bind", "advertised"))
        named.append((("media", advertised), getattr(settings.media, advertised)))
        if not getattr(settings.media, advertised):
            named.append((("media", bind), getattr(settings.media, bind)))
    for path, host in named:
        if _is_loopback(host):
            yield Finding(path, f"{host} is this machine to everybody, and sip.listen is open to others", remedy)


def _number(settings: Settings, index: int, number: NumberSettings) -> Iterator[Finding]:
    text = number.number
    if not number.regex and text != "*":
        plain = re.sub(r"[\s\-.()/]", "", text)
        if plain != text and re.fullmatch(r"\+?\d{3,}", plain):
            remedy = f'Write "{plain}": callers\' numbers are looked up without separators.'
            yield Finding(("numbers", index, "number"), f'"{text}" is never dialled so', remedy)
        elif re.search(r"[\^$\\|\[\](){}]|\.[*+]", text):
            yield Finding(
                ("numbers", index, "number"), f'"{text}" looks like a pattern', "Add regex = true, or write the number as it is dialled."
            )
    for name in ("voice_url", "fallback_url", "status_callback"):
        if getattr(number, name).startswith("/") and not settings.server.public_url:
            message = f"{getattr(number, name)} is on this server's own HTTP, which has no such page"
            yield Finding(("numbers", index, name), message, "Write the whole URL, or set server.public_url to where the application is.")
    if number.fallback_url and (number.fallback_url, number.fallback_method) == (number.voice_url, number.voice_method):
        remedy = "Name another, or leave it out."
        yield Finding(("numbers", index, "fallback_url"), "it is the same as voice_url, so it falls back on nothing", remedy)


def _version(host: str) -> int:
    return 6 if ":" in host else 4


def _is_loopback(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_wildcard(host: str) -> bool:
    address = address_of(host)
    return address is not None and address.is_unspecified
