"""The knobs of the SIP side. Durations are seconds, sizes are octets; every default works as it stands."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SPOKEN = ("udp", "tcp", "tls")  # the transports that there are sockets for; a new one is added here and in `sip.core.transports`
ContactPolicy = Literal["auto", "observed", "contact"]


class StrangerSettings(BaseModel):
    """What sources get that no trunk lists, and that are not the peer of a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Literal["refuse", "silence"] = Field(
        default="refuse", description="What a stranger's request gets: refuse, one 403 that says nothing of this server, or silence."
    )
    options: Literal["answer", "refuse"] = Field(
        default="answer", description="What a stranger's OPTIONS gets: answer, a short 200, or refuse, the same as its other requests."
    )
    max_per_source: int = Field(
        default=5, ge=1, description="Requests a second of one strange address (of IPv6: of one /64) above which it is banned."
    )
    ban_s: float = Field(default=60.0, ge=0, description="Seconds of silence for a banned address; 0 means silence above the rate only.")
    max_per_second: int = Field(default=100, ge=1, description="Requests a second of all strangers together that are answered at all.")
    max_sources: int = Field(
        default=10_000, ge=1, description="Strange addresses that are remembered; the oldest is forgotten for a new one."
    )


class SessionTimerSettings(BaseModel):
    """Session timers (RFC 4028): a session that nobody refreshes in time is ended, so that no call outlives its peer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expires_s: int = Field(
        default=1800,
        ge=0,
        le=86400,
        description="Seconds after which a session ends that was not refreshed, as we propose it to peers that know session timers; it is "
        "refreshed at half of that. 0 proposes none, and keeps those that a peer wants.",
    )
    min_s: int = Field(
        default=90, ge=90, le=86400, description="Least number of seconds that we take from a peer; less is answered 422 with Min-SE."
    )
    refresher: Literal["auto", "us", "peer"] = Field(
        default="auto", description="Who refreshes where we may choose: us, peer, or auto, which leaves it to who made the call."
    )
    method: Literal["auto", "update", "reinvite"] = Field(
        default="auto",
        description="How we refresh: update (RFC 3311), reinvite, or auto, which is UPDATE where the peer allows it, else re-INVITE.",
    )


class RegistrarSettings(BaseModel):
    """Phones that register (`[[clients]]`): how they prove who they are, and how long they are remembered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    realm: str = Field(
        default="dialplane",
        min_length=1,
        max_length=200,
        pattern=r"[^\"\\\x00-\x1f\x7f]+",
        description="Realm of the digest challenges. It is part of the stored digests of passwords: whoever changes it makes them anew.",
    )
    challenge: Literal["407", "401"] = Field(
        default="407", description="How a REGISTER without credentials is refused: 407 or 401; an INVITE always gets 407."
    )
    algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(
        default=("SHA-256", "MD5"),
        min_length=1,
        description="Digest algorithms that are offered, the first choice first. Leave SHA-256 out for phones that take the first "
        "challenge whatever it is.",
    )
    nonce_s: float = Field(default=300.0, ge=5, description="Seconds that a nonce is good for; then the phone is asked again.")
    default_expires_s: int = Field(default=3600, ge=1, description="Seconds that a registration lasts which names no time.")
    min_expires_s: int = Field(default=60, ge=1, le=3600, description="A registration for fewer seconds is refused with 423.")
    max_expires_s: int = Field(default=3600, ge=1, description="A registration for more seconds is shortened to so many.")
    max_contacts: int = Field(
        default=10, ge=1, le=100, description="Phones that one client may have registered; one more displaces the one unheard for longest."
    )
    contact: ContactPolicy = Field(
        default="auto",
        description="Where a phone is called: contact, at its Contact; observed, where its REGISTER came from; auto, there unless the "
        "Contact names the same address, or came through a proxy and can be reached from here.",
    )
    ping_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds between the OPTIONS that each registered phone is asked; one that does not answer is forgotten and its "
        "calls are ended. 0 asks none.",
    )
    max_per_source: int = Field(
        default=50, ge=1, description="REGISTER and INVITE a second of one address outside the trunks that are looked at; more get silence."
    )
    max_per_second: int = Field(default=1000, ge=1, description="The same of all addresses together from which no phone is registered.")
    max_sources: int = Field(default=10_000, ge=1, description="Such addresses that are remembered; the oldest is forgotten for a new one.")
    max_failures: int = Field(
        default=20, ge=1, description="Wrong passwords a minute of one address outside the trunks above which it is banned."
    )
    ban_s: float = Field(default=300.0, ge=0, description="Seconds of silence for an address that was banned so; 0 bans none.")


class SipSettings(BaseModel):
    """Settings of the SIP core (`sip.core`). Timer values are RFC 3261 table 4; change them only to suit a strange network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    t1_s: float = Field(
        default=0.5, gt=0, description="Estimate of the round-trip time (T1): first retransmission; 64 times this ends a transaction."
    )
    t2_s: float = Field(
        default=4.0, gt=0, description="Longest interval between retransmissions of requests and of 2xx and other finals (T2)."
    )
    t4_s: float = Field(default=5.0, gt=0, description="How long a message may stay in the network (T4): timers I and K.")
    timer_d_s: float = Field(
        default=32.0, gt=0, description="How long a refused INVITE absorbs repeated refusals over UDP (timer D, at least 32)."
    )

    user_agent: str = Field(default="dialplane", min_length=1, description="Text of the User-Agent and Server header fields.")

    udp_mtu_bytes: int = Field(
        default=1300,
        ge=500,
        description="Requests longer than this many octets go by TCP, and by UDP when TCP is refused or takes too long (RFC 3261 18.1.1).",
    )
    long_request_tcp_s: float = Field(
        default=1.0,
        gt=0,
        description="How long a request that is too long for UDP waits for a TCP connection before it goes by UDP; "
        ";transport=udp in its URI means UDP at once.",
    )
    long_request_memory_s: float = Field(
        default=600.0, ge=0, description="How long a peer that took no TCP connection gets its long requests by UDP at once."
    )
    silent_hop_s: float = Field(
        default=4.0,
        ge=0,
        description="How long a next hop may say nothing to an INVITE, not even 100, before the next one is asked beside it; 0 waits for "
        "the end of the transaction.",
    )
    max_message_bytes: int = Field(
        default=65535, ge=1000, description="Longest datagram, and longest head or body on a stream, that is read."
    )
    max_sessions: int = Field(default=5000, ge=1, description="Live sessions above which new INVITEs are refused with 503 and Retry-After.")
    max_transactions: int = Field(
        default=100_000,
        ge=1,
        description="Live server transactions above which requests are refused with 503 and Retry-After; BYE may use twice as many.",
    )
    max_forks: int = Field(
        default=32, ge=1, description="Early dialogs that one outgoing INVITE may open; more are reported but not followed."
    )
    max_pending_requests: int = Field(
        default=16, ge=1, description="Unanswered requests inside one dialog above which more get 500 with Retry-After."
    )
    refer_expires_s: float = Field(
        default=180.0,
        ge=1,
        description="How long somebody who has sent a REFER is told how the transfer goes, when it takes so long (RFC 3515 2.4.4).",
    )
    retry_after_s: int = Field(default=10, ge=0, description="Value of Retry-After in refusals for overload, in seconds.")

    reliable_provisionals: Literal["never", "required", "media", "supported"] = Field(
        default="required",
        description="Which provisional responses (180, 183) to a caller are repeated until it acknowledges them by PRACK (RFC 3262): "
        "required, those to a caller that requires it; media, also those that let a caller hear something that supports it; supported, "
        "all to such a caller; never, none, and a call that requires it gets 420. Called parties that send such responses get their PRACK "
        "unless it is never.",
    )
    session_timers: SessionTimerSettings = Field(default=SessionTimerSettings(), description="Session timers.")
    strangers: StrangerSettings = Field(default=StrangerSettings(), description="Strangers.")

    provisional_refresh_s: float = Field(
        default=60.0,
        gt=0,
        description="An unanswered incoming call repeats its last 18x after this long, so that proxies keep it (RFC 3261 13.3.1.1).",
    )
    reinvite_timeout_s: float = Field(
        default=60.0, gt=0, description="A re-INVITE of ours that got a provisional answer only is cancelled after this many seconds."
    )
    max_reinvite_retries: int = Field(
        default=8, ge=0, description="How often a re-INVITE that met glare (491) is tried again before its 491 is reported."
    )

    nat_fix_private_contact: bool = Field(
        default=True,
        description="Send in-dialog requests to the observed source when the peer's Contact is unreachable and there is no Record-Route.",
    )
    force_rport: bool = Field(
        default=False,
        description="Answer UDP requests to the source port even when their Via has no rport (RFC 3581 asks for it to be there).",
    )
