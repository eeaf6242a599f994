"""Every knob of the server, composed of the leaves' own settings and those that belong to the server itself.

Sections follow who uses them. A knob stands in exactly one place: what a Dial means is `[rcml]`, how it is carried out is
`[dial]`, what is on the wire is `[sip]` and `[media]`. Values are frozen; unknown keys are errors (see `config.load`).
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from config.types import (
    AccountSid,
    ApplicationUrl,
    BaseUrl,
    ClientName,
    Ha1,
    HeaderText,
    Host,
    HostPortText,
    InstanceSid,
    Listen,
    LogLevel,
    Method,
    Network,
    NumberRule,
    OptionalApplicationUrl,
    Printable,
    ProxyUri,
    SecretToken,
    SipHeaders,
    WebhookSecret,
    parse_host_port,
    parse_listen,
)
from media.settings import MediaSettings, SrtpPolicy, ToneCountry
from rcml.settings import RcmlSettings
from sip.settings import ContactPolicy, RegistrarSettings, SipSettings
from sip.transport.settings import TlsSettings, TransportSettings

# Where no request of an application may lead unless `http.allow` says so: everything that is not a public unicast address
# (IANA special-purpose registries, RFC 6890), and the addresses where clouds keep the machine's credentials.
DENIED_NETWORKS = (
    "0.0.0.0/8",  # this host
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata
    "127.0.0.0/8",
    "168.63.129.16/32",  # one cloud's host agent, on a public address
    "169.254.0.0/16",  # link-local; most clouds' metadata
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "100::/64",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)


# Numbers that cost whoever pays for the trunk more than a call: premium rate, and satellite networks that are called for the share in their
# price. ITU-T E.164 and E.164.1 for the codes without a country (870, 881 to 883, 979); national plans for the others.
DENIED_NUMBERS = (
    *("+870*", "+881*", "+882*", "+883*", "+979*"),
    *("+1900*", "+611900*"),  # North America, Australia
    *("+3290*", "+3389*", "+31900*", "+31906*", "+31909*", "+34803*", "+34806*", "+34807*", "+39899*"),
    *("+41900*", "+41901*", "+41906*", "+43900*", "+43901*", "+43930*", "+449*", "+4487*", "+49900*"),
)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class ServerSettings(Section):
    """The process: where it keeps its state, where operators reach it, how much it takes on."""

    state_dir: str = Field(
        default="",
        description="Directory of everything the server keeps; empty means $DIALPLANE_STATE, else /var/lib/dialplane for root and "
        "~/.local/state/dialplane for others.",
    )
    instance_id: InstanceSid = Field(
        default="",
        description="ID and 32 hexadecimal digits, the InstanceId of requests; empty means made once and kept in the state directory.",
    )
    account_sid: AccountSid = Field(
        default="",
        description="AC and 32 hexadecimal digits, the AccountSid of requests; empty means made once and kept in the state directory.",
    )
    public_url: BaseUrl = Field(
        default="",
        description="Base URL under which applications reach this server, written into RecordingUrl; empty means http:// and http_listen.",
    )
    http_listen: HostPortText = Field(
        default="127.0.0.1:8080", description="host:port of the server's own HTTP: health, metrics, recordings, timelines."
    )
    api_token: SecretToken = Field(
        default=SecretStr(""),
        description="Token that calls, timelines and metrics over HTTP want (/healthz is open); empty means made once and kept in the "
        "state directory (`dialplane token` shows it).",
    )
    metrics_open: bool = Field(default=False, description="Show /metrics without the token, to whoever reaches http_listen.")
    recording_access: Literal["name", "signed", "login"] = Field(
        default="name",
        description="Who gets a recording over HTTP: name, whoever knows its URL, which is 128 bits of chance; signed, whoever has the "
        "RecordingUrl, which then is signed and expires; login, who sends api_token (as Bearer token, or as password of any user).",
    )
    recording_url_s: float = Field(default=86400.0, gt=0, description="Seconds after which a signed RecordingUrl expires.")
    recording_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key that signed RecordingUrls are signed with; empty means made once and kept in the state directory.",
    )
    webhook_secret: WebhookSecret = Field(
        default=SecretStr(""),
        description="Secret that requests to applications are signed with (Standard Webhooks: whsec_ and Base64); empty means made "
        "once and kept in the state directory (`dialplane token --webhooks`). X-Twilio-Signature is made with api_token.",
    )
    webhook_secret_before: WebhookSecret = Field(
        default=SecretStr(""),
        description="The former webhook_secret, while applications change to the new one: both sign; empty means there is none.",
    )
    sign_requests: bool = Field(default=True, description="Sign requests to applications; false leaves both signatures out.")
    max_calls: int = Field(default=1000, ge=1, description="Incoming calls that may be up at the same time; more are answered 503.")
    max_lag_s: float = Field(
        default=0.1,
        ge=0,
        le=5,
        description="Seconds that the server may be late all the time with what is due (to read a datagram, say); above that it refuses a "
        "part of the new calls with 503 and Retry-After, so that the others are served. 0 refuses none for that.",
    )
    use_to: bool = Field(
        default=True,
        description="Look for the number of the To header first, then for that of the Request-URI; false looks at the Request-URI alone.",
    )
    country_code: str = Field(
        default="",
        pattern=r"^(|[1-9]\d{0,2})$",
        description='Country code that a dialled number of ten digits is completed with, such as "1"; empty means that none is guessed.',
    )
    session_headers: bool = Field(
        default=True, description="Write the headers X-RestComm-CallSid, -AccountSid and -ApiVersion into the SIP messages of a call."
    )
    drain_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds that calls may go on when the server is told to stop, while new ones get 503; 0 ends them at once.",
    )
    shutdown_grace_s: float = Field(
        default=10.0, ge=0, description="Seconds that calls get to end politely when the server is told to stop, after drain_s."
    )
    log_level: LogLevel = Field(default="info", description="What is logged at least: debug, info, warning or error.")
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="Form of log lines: human, json, or auto, which is human on a terminal and json elsewhere."
    )
    log_redact: Literal["none", "numbers", "all"] = Field(
        default="numbers",
        description="What log lines hide: numbers (all but the last digits of phone numbers), all (IP addresses too), or none.",
    )

    @property
    def base_url(self) -> str:
        """`public_url`, or what `http_listen` makes of it; without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        place = parse_host_port(self.http_listen)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host)
        return f"http://[{host}]:{place.port}" if ":" in host else f"http://{host}:{place.port}"


class SipSection(SipSettings):
    """SIP: where it listens, what it says about itself, and its timers."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    listen: tuple[Listen, ...] = Field(
        default=("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"),
        min_length=1,
        description="Sockets that SIP is received on, each transport:address:port.",
    )
    advertise: Host = Field(
        default="", description="Host name or address written into Via and Contact, as behind NAT; empty means the address of the socket."
    )
    transport: TransportSettings = Field(default=TransportSettings(), description="The sockets.")
    tls: TlsSettings = Field(default=TlsSettings(), description="TLS.")

    @property
    def speaks_tls(self) -> bool:
        """There is a listener for it. Without one nothing is reached by it either: peers must be able to call back."""
        return any(parse_listen(text).transport == "tls" for text in self.listen)


class HttpSettings(Section):
    """Requests to applications: documents, callbacks, audio files; and where they may not lead."""

    timeout_s: float = Field(
        default=5.0, gt=0, le=300, description="Seconds that one request may take, redirects and the whole body included."
    )
    max_redirects: int = Field(default=5, ge=0, le=50, description="Redirects that one request follows.")
    max_body_bytes: int = Field(default=65536, ge=1024, description="Octets that an answer may have, unpacked; a longer one is a failure.")
    max_head_bytes: int = Field(
        default=65536, ge=1024, description="Octets that the status line and the header of an answer may have together; more is a failure."
    )
    max_concurrent: int = Field(
        default=1024,
        ge=1,
        description="Documents that may be asked for at the same time; hosts and their applications share them so that none can take all.",
    )
    max_events: int = Field(default=512, ge=1, description="Status callbacks that may be under way at the same time, shared likewise.")
    event_retries_s: tuple[float, ...] = Field(
        default=(5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0),
        max_length=50,
        description="Seconds before each further attempt to deliver an event (a status callback) that was not answered with 2xx; none "
        "means that each is sent once.",
    )
    event_queue: int = Field(
        default=10000, ge=1, description="Events that may wait for their delivery; one more is given up at once and listed as failed."
    )
    max_downloads: int = Field(default=256, ge=1, description="Audio files that may be fetched at the same time, shared likewise.")
    max_per_host: int = Field(
        default=512,
        ge=1,
        description="Requests of one kind (documents, callbacks, audio) that may be under way to one host and port.",
    )
    queue_s: float = Field(
        default=2.0, gt=0, description="Seconds that a request may wait for its turn when too many are under way; then it has failed."
    )
    keepalive_s: float = Field(
        default=1.5,
        ge=0,
        description="Seconds that an idle connection is kept; keep it below the application's own limit, which is often 2 or 5.",
    )
    download_timeout_s: float = Field(default=30.0, gt=0, description="Seconds that the download of one audio file may take.")
    user_agent: HeaderText = Field(default="dialplane", min_length=1, description="The User-Agent header of requests to applications.")
    ca_file: str = Field(default="", description="PEM file of certificate authorities trusted beside the system's; empty means none.")
    allow: tuple[Network, ...] = Field(
        default=(),
        description='Address ranges that applications may be on although `deny` holds them, such as "127.0.0.1/32" or "10.1.0.0/16".',
    )
    deny: tuple[Network, ...] = Field(
        default=DENIED_NETWORKS, description="Address ranges that no request of an application may lead to, by name, literal or redirect."
    )


class DialSettings(Section):
    """How calls are answered and Dials are carried out."""

    answer_delay: bool = Field(
        default=True,
        description="Leave the caller unanswered while a Dial rings, so that it gets the callee's own final code; false answers first.",
    )
    early_media: bool = Field(
        default=True, description="Let an unanswered caller hear the callee's early media or the dialMusic (183 with SDP)."
    )
    ringback: ToneCountry = Field(
        default="us", description="Country of the ringback tone that an answered caller hears while a Dial rings."
    )
    no_branch_code: Literal["mapped", "500"] = Field(
        default="mapped",
        description="Final code when no destination could be tried: mapped gives 403, 404, 414 or 503 by the cause, 500 always 500.",
    )
    rest_completed_status: Literal["canceled", "completed"] = Field(
        default="canceled", description="DialCallStatus when an operator ends a call as completed while its Dial is still ringing."
    )
    max_passages: int = Field(
        default=5,
        ge=1,
        le=50,
        description="How often one call may come in again by Dials that lead back here, each time to another number; one more gets 482.",
    )
    sip_allow: tuple[Network, ...] = Field(
        default=(),
        description="Address ranges that a Sip of a document may lead to although `sip_deny` holds them; "
        "those of the trunks (`allow`, `proxy`) are open anyway.",
    )
    sip_deny: tuple[Network, ...] = Field(
        default=DENIED_NETWORKS, description="Address ranges that no Sip of a document may lead to, by name or by literal."
    )
    number_deny: tuple[NumberRule, ...] = Field(
        default=DENIED_NUMBERS,
        description='Numbers that no document may dial: "+1900*" in whatever form, others as they are dialled; ? is any digit, * any rest.',
    )
    number_allow: tuple[NumberRule, ...] = Field(
        default=(), description="Numbers that may be dialled although number_deny holds them; the longer rule wins."
    )
    media_timeout_ends_call: bool = Field(
        default=True, description="End a call whose media is lost (media.media_timeout_s); false only notes it."
    )
    transferor_s: float = Field(
        default=2.0,
        ge=0,
        description="How long after its REFER who has transferred a call is kept: told how it goes, and given the call back when "
        "the target refuses; then it is hung up.",
    )
    media_timeout_ask_s: float = Field(
        default=8.0,
        ge=0,
        description="Seconds that a party of whom nothing is heard has to answer an OPTIONS before it is hung up; 0 hangs up unasked.",
    )
    media_open_s: float = Field(
        default=5.0, gt=0, description="Seconds that the media worker may take to open a stream before the call is refused."
    )
    recording_wait_s: float = Field(default=3.0, ge=0, description="Seconds that an action request waits for the length of its recording.")
    conference_time_limit_s: float = Field(
        default=14_400.0,
        gt=0,
        description="Seconds that a conference may last, from its first participant on; then all leave it, and their documents go on.",
    )
    final_status_wait_s: float = Field(default=5.0, ge=0, description="Seconds that the end of a call waits for its last status callback.")


class StorageSettings(Section):
    """The database of calls, timelines, notifications and recordings. Calls never wait for it."""

    url: str = Field(
        default="", description="SQLAlchemy URL of the database; empty means the SQLite file `dialplane.db` in the state directory."
    )
    retention_days: float = Field(
        default=30.0, ge=0, description="Days that calls, timelines and notifications are kept; 0 keeps them for ever."
    )
    recording_retention_days: float = Field(
        default=0.0, ge=0, description="Days that recordings and their files are kept; 0 keeps them for ever."
    )
    timeline_max_entries_per_call: int = Field(
        default=2000, ge=20, description="Timeline entries kept of one call: the first three quarters as they come, then the last quarter."
    )
    timeline_max_text: int = Field(default=8192, ge=256, description="Characters kept of one message or body in the timeline.")
    queue_max: int = Field(default=20_000, ge=100, description="Entries that may wait to be written; more are dropped and counted.")
    batch_max: int = Field(default=500, ge=1, description="Entries that are written in one transaction.")
    batch_s: float = Field(default=0.2, ge=0, description="Seconds that entries wait for others to be written with.")


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


class Settings(Section):
    """The whole configuration."""

    server: ServerSettings = Field(default=ServerSettings(), description="The process.")
    sip: SipSection = Field(default=SipSection(), description="SIP.")
    registrar: RegistrarSettings = Field(default=RegistrarSettings(), description="Phones that register.")
    media: MediaSettings = Field(default=MediaSettings(), description="The media plane.")
    rcml: RcmlSettings = Field(default=RcmlSettings(), description="The interpreter of documents.")
    http: HttpSettings = Field(default=HttpSettings(), description="Requests to applications.")
    dial: DialSettings = Field(default=DialSettings(), description="Answering and dialling.")
    storage: StorageSettings = Field(default=StorageSettings(), description="The database.")
    outbound: OutboundSettings = Field(default=OutboundSettings(), description="Where Numbers are dialled.")
    trunks: tuple[TrunkSettings, ...] = Field(default=(), description="Carriers and gateways.")
    numbers: tuple[NumberSettings, ...] = Field(default=(), description="Numbers and their applications.")
    clients: tuple[ClientSettings, ...] = Field(default=(), description="Clients and their passwords.")

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        """What is wrong begins with the setting and a colon: the model as a whole has no place of its own."""
        names = [trunk.name for trunk in self.trunks]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f'trunks[{index}].name: two trunks are named "{name}"; each [[trunks]] needs its own name')
        logins = [client.name for client in self.clients]
        for index, name in enumerate(logins):
            if name in logins[:index]:
                raise ValueError(f'clients[{index}].name: two clients are named "{name}"; each [[clients]] needs its own name')
        wanted = self.outbound.trunk
        if wanted and wanted not in names:
            known = ", ".join(f'"{name}"' for name in names) or "none"
            raise ValueError(f'outbound.trunk: it is "{wanted}", but no [[trunks]] has that name (known: {known})')
        if wanted and not next(trunk for trunk in self.trunks if trunk.name == wanted).proxy:
            raise ValueError(f'outbound.trunk: it is "{wanted}", but that trunk has no proxy; write its SIP URI into proxy')
        seen: set[tuple[str, bool]] = set()
        for index, number in enumerate(self.numbers):
            key = (number.number, number.regex)
            if key in seen:
                raise ValueError(f'numbers[{index}].number: "{number.number}" stands twice; only one application can answer it')
            seen.add(key)
        if self.rcml.max_document_bytes > self.http.max_body_bytes:
            raise ValueError(
                f"rcml.max_document_bytes: it is {self.rcml.max_document_bytes}, but http.max_body_bytes lets only "
                f"{self.http.max_body_bytes} octets through; raise http.max_body_bytes as well"
            )
        return self


def networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Checked address ranges of the settings as values."""
    return tuple(ipaddress.ip_network(text) for text in texts)
