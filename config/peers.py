"""Whom the server knows: carriers and gateways, the numbers that callers dial, and clients, each with what belongs to it alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from config.section import Section
from config.types import (
    ApplicationUrl,
    ClientName,
    Ha1,
    Host,
    Method,
    Network,
    OptionalApplicationUrl,
    Printable,
    ProxyUri,
    SipHeaders,
)
from media.settings import SrtpPolicy
from sip.settings import ContactPolicy


class TrunkSettings(Section):
    """A carrier or gateway: who may call in, and where Numbers go out."""

    name: Printable = Field(min_length=1, description="Name of the trunk, for logs and for outbound.trunk.")
    allow: tuple[Network, ...] = Field(default=(), description='Address ranges whose calls are let in, such as "203.0.113.10/32".')
    proxy: ProxyUri = Field(
        default="", description='SIP URI that outgoing Numbers are sent to, such as "sip:gw.example.com:5060;transport=udp".'
    )
    fallback_proxy: ProxyUri = Field(
        default="", description="SIP URI that is tried when the proxy does not answer or says 503; empty means none."
    )
    username: Printable = Field(
        default="", description="User for the proxy's digest challenge; empty means that challenges are not answered."
    )
    password: SecretStr = Field(default=SecretStr(""), description="Password for the proxy's digest challenge.")
    headers: SipHeaders = Field(default={}, description="Headers added to every INVITE that goes out on this trunk.")
    from_host: Host = Field(default="", description="Host of the From header of outgoing calls; empty means the host of the proxy.")
    trusted_identity: bool = Field(
        default=False,
        description="The trunk may know who calls also when the caller withholds it: P-Asserted-Identity is sent, and believed.",
    )
    identity: Literal["pai", "rpid", "both"] = Field(
        default="pai",
        description="Where trusted_identity says who calls: pai, P-Asserted-Identity (RFC 3325); rpid, Remote-Party-ID; both.",
    )
    history: Literal["none", "diversion", "history-info", "both"] = Field(
        default="none",
        description="How the trunk is told which number of ours has forwarded a call: diversion (RFC 5806), history-info (RFC 7044), both.",
    )
    country_code: str = Field(
        default="",
        pattern=r"^(|[1-9]\d{0,2})$",
        description='Country code of its national numbers, as "49"; empty means server.country_code.',
    )
    national_prefix: str = Field(
        default="0", pattern=r"^\d{0,4}$", description='What stands before a national number: "0", "1" in North America, or nothing.'
    )
    international_prefix: str = Field(
        default="00", pattern=r"^\d{0,4}$", description='What stands before the country code: "00", "011" in North America.'
    )
    number_format: Literal["as_dialled", "e164", "e164_plain", "national"] = Field(
        default="as_dialled",
        description="How Numbers are written: as_dialled; e164, +CC...; e164_plain, CC...; national, with the prefixes above.",
    )
    number_prefix: str = Field(default="", pattern=r"^[0-9*#]{0,8}$", description='Put before every number, as "9"; empty: nothing.')
    srtp: SrtpPolicy | None = Field(default=None, description="media.srtp for the calls of this trunk; left out means as there.")
    contact: ContactPolicy = Field(
        default="auto",
        description="Where requests inside a call go when there is no Record-Route: contact, to the Contact; observed, to where "
        "the trunk's messages come from; auto, there when the Contact cannot be reached from here.",
    )

    options_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds between two OPTIONS that ask each proxy whether it lives; calls pass over one that does not. 0 asks none.",
    )
    registers: bool = Field(
        default=False,
        description="Register at the trunk with username and password, so that it sends calls here, through a NAT too.",
    )
    registrar: ProxyUri = Field(
        default="", description="SIP URI that is registered at; empty means the proxy, and after it the fallback_proxy."
    )
    register_user: Printable = Field(default="", description="User of the address that is registered; empty means username.")
    register_expires_s: int = Field(
        default=3600, ge=60, le=86400, description="Seconds that a registration is asked for; the trunk may grant less."
    )

    @model_validator(mode="after")
    def _useful(self) -> TrunkSettings:
        if self.registers and not (self.registrar or self.proxy):
            raise ValueError("registers is set but neither registrar nor proxy is; name where")
        if self.registers and not (self.register_user or self.username):
            raise ValueError("registers is set but username is not; an address has a user")
        if self.fallback_proxy and not self.proxy:
            raise ValueError("fallback_proxy is set but proxy is not; write the first choice into proxy")
        if self.password.get_secret_value() and not self.username:
            raise ValueError("password is set but username is not; a digest challenge needs both")
        return self


class ClientSettings(Section):
    """A client: who may register phones under a name, be dialled by <Client> and call from anywhere."""

    name: ClientName = Field(description="Its login, and what a document calls it; without blanks and the signs ? = @ < > and quotes.")
    password: SecretStr = Field(default=SecretStr(""), description="Its password, when the digests are not given.")
    ha1_sha256: Ha1 = Field(
        default=SecretStr(""), description="SHA-256 digest of name:realm:password instead of it, as `dialplane client NAME` makes it."
    )
    ha1_md5: Ha1 = Field(default=SecretStr(""), description="The same by MD5, for phones that know nothing better.")
    active: bool = Field(default=True, description="false refuses its registrations and calls with 403.")
    voice_url: OptionalApplicationUrl = Field(
        default="", description="URL of the document for its calls, whatever it dials; empty dials clients, numbers and then the trunk."
    )
    voice_method: Method = Field(default="POST", description="GET or POST, for voice_url.")
    fallback_url: OptionalApplicationUrl = Field(default="", description="URL that is asked when voice_url fails; empty means none.")
    fallback_method: Method = Field(default="POST", description="GET or POST, for fallback_url.")
    answer_delay: bool | None = Field(default=None, description="dial.answer_delay for its calls; left out means as there.")

    @model_validator(mode="after")
    def _one_proof(self) -> ClientSettings:
        digests = [one for one in (self.ha1_sha256, self.ha1_md5) if one.get_secret_value()]
        if self.password.get_secret_value() and digests:
            raise ValueError("write either password, or the lines of ha1_sha256 and ha1_md5 that `dialplane client NAME` makes")
        for digest, digits in ((self.ha1_sha256, 64), (self.ha1_md5, 32)):
            if len(digest.get_secret_value()) not in (0, digits):
                raise ValueError("ha1_sha256 has 64 hexadecimal digits and ha1_md5 has 32")
        return self

    @property
    def can_prove_it(self) -> bool:
        return self.has_digest("SHA-256") or self.has_digest("MD5")

    def has_digest(self, algorithm: str) -> bool:
        """Given, or to be made of the password."""
        digest = self.ha1_sha256 if algorithm == "SHA-256" else self.ha1_md5
        return bool(self.password.get_secret_value() or digest.get_secret_value())


class OutboundSettings(Section):
    """Where Numbers are dialled."""

    trunk: str = Field(default="", description="Name of the trunk where Numbers go; empty means the first trunk that has a proxy.")


class NumberSettings(Section):
    """A number that callers dial, and the web application that answers it."""

    number: Printable = Field(
        min_length=1, description='What is dialled: a number as written, a regular expression, or "*" for everything else.'
    )
    regex: bool = Field(default=False, description="The number is a regular expression, searched for (not anchored) in what was dialled.")
    voice_url: ApplicationUrl = Field(description="URL of the document for a call; one that begins with / is on this server's public_url.")
    voice_method: Method = Field(default="POST", description="GET or POST, for voice_url.")
    fallback_url: OptionalApplicationUrl = Field(default="", description="URL that is asked when voice_url fails; empty means none.")
    fallback_method: Method = Field(default="POST", description="GET or POST, for fallback_url.")
    status_callback: OptionalApplicationUrl = Field(
        default="", description="URL that is told of every change of the call's status; empty means none."
    )
    status_callback_method: Method = Field(default="POST", description="GET or POST, for status_callback.")
    refer_url: OptionalApplicationUrl = Field(
        default="", description="URL of the document for a call that one of its parties transfers (REFER); empty means no transfers."
    )
    refer_method: Method = Field(default="POST", description="GET or POST, for refer_url.")
    answer_delay: bool | None = Field(default=None, description="dial.answer_delay for this number; left out means as there.")
    dialect: Literal["rcml", "twiml"] = Field(
        default="rcml", description="What the application was written for: rcml, or twiml where the two contradict each other."
    )
