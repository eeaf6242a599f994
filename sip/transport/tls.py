"""TLS of one connection without I/O, and the certificates behind it.

    octets of the wire ─▶ TlsSession.receive ─▶ octets of SIP        TlsSession.send ─▶ TlsSession.outgoing ─▶ octets of the wire

OpenSSL does the cryptography, between two buffers in memory; the connection (`sip.transport.tcp`) carries octets and keeps the time. So an
accepted connection is counted, limited and timed from its first octet on, whatever the event loop, and a renewed certificate is a matter of
the next handshake: connections that stand are not touched.

Whom a certificate is for is decided by RFC 5922 and not by the rules of HTTPS: the name is that of the SIP URI and no SRV record's, it is
compared whole, and `sip:` URIs among the alternative names count as domains.

Source: RFC 3261 26.3.1; RFC 5922 4, 7; RFC 5923.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sip.transport.settings import TlsSettings

READ_BYTES = 65536
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
CLIENTS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsUnusable(Exception):
    """A file of the settings that TLS cannot be made of. setting: its name within [sip.tls]."""

    def __init__(self, setting: str, said: str, remedy: str) -> None:
        super().__init__(f"sip.tls.{setting}: {said}")
        self.setting, self.said, self.remedy = setting, said, remedy


class TlsFailed(Exception):
    """The peer and we have no TLS connection, and why."""


class Tls:
    """What the files of the settings give, read once. A new one is made for new files.

    server: None without a certificate of our own. Raises TlsUnusable.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self.server = _server(settings) if settings.certificate else None
        self._client = _client(settings)

    def accepting(self) -> TlsSession:
        assert self.server is not None  # the settings want a certificate for a listener
        return TlsSession(self.server, server_side=True)

    def connecting(self, name: str) -> TlsSession:
        """name: what the certificate of the peer must be for, a domain or an IP literal."""
        return TlsSession(self._client, server_side=False, name=name, settings=self.settings)


class TlsSession:
    """opened: the handshake is through, and the peer is who it should be. closed: the peer has said that nothing follows.

    Raises TlsFailed for a name that no host can have.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, name: str = "", settings: TlsSettings | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        shown = name if name and _literal(name) is None else None  # RFC 6066 3: no addresses
        try:
            self._ssl = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=shown)
        except ValueError as error:  # of IDNA: a label that is empty or too long
            raise TlsFailed(f"{name!r} is no name of a host: {error}") from None
        self._name, self._settings = name, settings
        self.opened = self.closed = False
        if not server_side:
            self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Octets of SIP. Raises TlsFailed; `outgoing` has the alert then."""
        self._in.write(data)
        if not self.opened and not self._shake_hands():
            return b""
        parts = []
        while not self.closed:
            try:
                part = self._ssl.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            except ssl.SSLError as error:
                raise TlsFailed(_explain(error)) from None
            self.closed = not part
            parts.append(part)
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        with contextlib.suppress(ssl.SSLError):  # after an alert: lost, as on any connection that ends
            while view:
                view = view[self._ssl.write(view) :]

    def outgoing(self) -> bytes:
        """What has to go out now."""
        return self._out.read()

    def close(self) -> None:
        """Say that nothing follows; nobody waits for the answer."""
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()

    def _shake_hands(self) -> bool:
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TlsFailed(_explain(error)) from None
        if self._settings is not None and self._settings.verify_peers:
            certificate = self._ssl.getpeercert() or {}
            if not is_for(certificate, self._name, wildcards=self._settings.wildcards):
                names = ", ".join(identities(certificate)) or "nobody"
                raise TlsFailed(f"its certificate is for {names}, not for {self._name}")
        self.opened = True
        return True


# --- whom a certificate is for ---------------------------------------------------------------------------------------


def identities(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains and addresses that a certificate is for (RFC 5922 7.1).

    certificate: as `SSLObject.getpeercert` gives it. The common name counts only where there are no alternative names.
    """
    names = certificate.get("subjectAltName") or ()
    if names:
        return tuple(dict.fromkeys(_alternative(names)))
    return tuple(value.lower() for part in certificate.get("subject", ()) for key, value in part if key == "commonName")


def _alternative(names: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for kind, value in names:
        match kind:
            case "DNS":
                yield value.lower()
            case "URI":
                scheme, _, rest = value.partition(":")
                if scheme.lower() == "sip" and "@" not in rest:  # with a user it is a person's, no domain's
                    yield rest.partition(";")[0].partition("?")[0].lower()
            case "IP Address":
                yield str(_literal(value) or value)
            case _:
                pass


def is_for(certificate: Mapping[str, Any], name: str, *, wildcards: bool = False) -> bool:
    """Whole names are compared, without case (RFC 5922 7.2). wildcards: `*.example.com` counts for one label all the same."""
    literal = _literal(name)
    wanted = str(literal) if literal is not None else name.rstrip(".").lower()
    found = identities(certificate)
    if wanted and wanted in found:
        return True
    label, _, rest = wanted.partition(".")
    return wildcards and literal is None and bool(label) and "." in rest and f"*.{rest}" in found


def _literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


# --- files -----------------------------------------------------------------------------------------------------------


def _server(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context, settings)
    context.verify_mode = CLIENTS[settings.client_certificates]
    if context.verify_mode != ssl.CERT_NONE:
        _trust(context, settings)
    return context


def _client(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # by the rules of HTTPS; ours are in `is_for`
    _common(context, settings)
    if settings.verify_peers:
        _trust(context, settings)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


def _common(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = VERSIONS[settings.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if settings.certificate:
        _read("certificate", settings.certificate)
        if settings.private_key:
            _read("private_key", settings.private_key)
        holder = "private_key" if settings.private_key else "certificate"
        try:
            context.load_cert_chain(settings.certificate, settings.private_key or None, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise _bad_pair(settings, holder, error) from None


def _trust(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.ca_file:
        context.load_default_certs()
        return
    _read("ca_file", settings.ca_file)
    try:
        context.load_verify_locations(settings.ca_file)
    except ssl.SSLError:
        remedy = "Name a file of certificates of authorities in PEM."
        raise TlsUnusable("ca_file", f"{settings.ca_file} holds no certificate", remedy) from None


def _bad_pair(settings: TlsSettings, holder: str, error: Exception) -> TlsUnusable:
    reason = getattr(error, "reason", "") or ""
    if isinstance(error, ValueError) or reason in ("BAD_DECRYPT", "BAD_PASSWORD_READ"):
        name = getattr(settings, holder)
        remedy = "Write it without passphrase (openssl pkey -in KEY -out PLAIN), readable by this user alone."
        return TlsUnusable(holder, f"the key in {name} wants a passphrase", remedy)
    if reason == "KEY_VALUES_MISMATCH":
        remedy = "Name the key that the certificate was asked for with."
        return TlsUnusable(holder, f"the key does not belong to {settings.certificate}", remedy)
    text = Path(settings.certificate).read_text(errors="replace")
    if "-----BEGIN CERTIFICATE-----" not in text:
        remedy = "Name a PEM file: the certificate of this server first, then those between it and the authority."
        return TlsUnusable("certificate", f"{settings.certificate} holds no certificate in PEM", remedy)
    remedy = "Name the PEM file of the key that belongs to the certificate."
    where = settings.private_key or settings.certificate
    return TlsUnusable(holder, f"{where} holds no usable private key in PEM", remedy)


def _read(setting: str, name: str) -> None:
    try:
        with open(name, "rb") as file:
            file.read(1)
    except OSError as error:
        remedy = "Name a file that is there and that this user may read."
        raise TlsUnusable(setting, f"{name} cannot be read: {error.strerror or error}", remedy) from None


def _no_password() -> str:
    raise ValueError("a passphrase is wanted")  # else OpenSSL would ask the terminal


def _explain(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    said = {
        "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority of our certificate",
        "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours, and sip.tls.certificate is empty",
        "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found nothing in common with us",
        "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no version of TLS that is allowed here",
        "UNSUPPORTED_PROTOCOL": "it speaks no version of TLS that is allowed here (sip.tls.minimum_version)",
        "WRONG_VERSION_NUMBER": "what it sends is no TLS",
        "HTTP_REQUEST": "what it sends is no TLS",
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate (sip.tls.client_certificates)",
    }
    reason = error.reason or ""
    return said.get(reason, reason.replace("_", " ").lower() or str(error))
