"""Every knob of the server, composed of the leaves' own settings and those that belong to the server itself.

Sections follow who uses them. A knob stands in exactly one place: what a Dial means is `[rcml]`, how it is carried out is
`[dial]`, what is on the wire is `[sip]` and `[media]`. Values are frozen; unknown keys are errors (see `config.load`).
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, model_validator

from config.denied import DENIED_NETWORKS, DENIED_NUMBERS
from config.peers import ClientSettings, NumberSettings, OutboundSettings, TrunkSettings
from config.section import Section
from config.types import (
    AccountSid,
    BaseUrl,
    HeaderText,
    Host,
    HostPortText,
    InstanceSid,
    Listen,
    LogLevel,
    Network,
    NumberRule,
    SecretToken,
    WebhookSecret,
    parse_host_port,
    parse_listen,
)
from media.settings import MediaSettings, ToneCountry
from rcml.settings import RcmlSettings
from sip.settings import RegistrarSettings, SipSettings
from sip.transport.settings import TlsSettings, TransportSettings


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
