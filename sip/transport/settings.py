"""The knobs of the sockets. Durations are seconds, sizes are octets; every default works as it stands."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TlsSettings(BaseModel):
    """TLS: who we are, whom we trust, and how long a handshake may take. Files are read at the start, and again on SIGHUP."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    certificate: str = Field(
        default="",
        description="PEM file of our certificate, followed by those between it and its authority; needed by a tls listener, and shown to "
        "peers that ask for one.",
    )
    private_key: str = Field(default="", description="PEM file of its key, without passphrase; empty means in the file of the certificate.")
    ca_file: str = Field(
        default="", description="PEM file of the authorities whose certificates are accepted; empty means those of the system."
    )
    verify_peers: bool = Field(
        default=True,
        description="Whom we connect to must show a certificate of such an authority that names the domain of its URI (RFC 5922); false "
        "takes any, so that whoever is in between may listen.",
    )
    wildcards: bool = Field(
        default=False, description="Take *.example.com for a name in that domain, which RFC 5922 forbids and some carriers need."
    )
    client_certificates: Literal["none", "optional", "required"] = Field(
        default="none", description="Whether who connects to us must show a certificate of such an authority."
    )
    minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")
    handshake_timeout_s: float = Field(default=5.0, gt=0, description="How long a handshake may take before the connection is closed.")
    max_handshakes: int = Field(
        default=128, ge=1, description="Connections of others whose handshake is under way above which new ones are closed at once."
    )


class TransportSettings(BaseModel):
    """Limits of the SIP sockets: what a peer may make this machine hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    udp_buffer_bytes: int = Field(
        default=4 * 1024 * 1024, ge=65536, description="Kernel buffer asked for per UDP socket and direction; the kernel may grant less."
    )
    max_connections: int = Field(default=4096, ge=1, description="Open TCP connections above which new ones are closed at once.")
    max_connections_per_host: int = Field(
        default=1024, ge=1, description="Open TCP connections from one address above which new ones are closed at once."
    )
    max_stranger_connections: int = Field(
        default=256, ge=0, description="Open TCP connections of all addresses together that no trunk lists; more are closed at once."
    )
    max_connections_per_stranger: int = Field(
        default=16, ge=0, description="Open TCP connections from one such address (of IPv6: one /64); more are closed at once."
    )
    reserved_descriptors: int = Field(
        default=128,
        ge=0,
        description="File descriptors that connections leave for calls, where there are fewer than max_connections.",
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, description="How long opening a TCP connection may take before it counts as failed."
    )
    message_timeout_s: float = Field(
        default=30.0, gt=0, description="How long a peer may take to finish a message that it began, or to send anything at all."
    )
    idle_timeout_s: float = Field(
        default=3600.0, gt=0, description="A connection on which nothing was sent or received for this long is closed."
    )
    write_timeout_s: float = Field(default=30.0, gt=0, description="How long a peer may leave octets for it unread.")
    max_unsent_bytes: int = Field(
        default=1024 * 1024, ge=65536, description="Octets that may wait for one slow or not yet open connection; above, it is given up."
    )
    resolve_timeout_s: float = Field(default=10.0, gt=0, description="How long all DNS queries for one SIP URI may take together.")
