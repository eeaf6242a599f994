"""SIP syntax: octets and text to values and back. Pure, and knows no transaction."""

from sip.errors import ParseError, SipError, UsageError
from sip.message.build import build_message, reason_phrase
from sip.message.fields import (
    REASON_PHRASES,
    CSeq,
    NameAddr,
    Via,
    build_auth,
    build_params,
    parse_auth,
    parse_cseq,
    parse_list,
    parse_name_addr,
    parse_params,
    parse_uint,
    parse_value,
    parse_via,
)
from sip.message.grammar import is_token, quote, quote_unless_token, unquote
from sip.message.headers import COMPACT_NAMES, Headers
from sip.message.model import Message, Request, Response
from sip.message.parse import MessageError, parse_message
from sip.message.stream import KeepAlive, StreamParser
from sip.message.transfer import (
    ReferTo,
    Replaces,
    SubscriptionState,
    parse_event,
    parse_replaces,
    parse_sipfrag,
    parse_subscription_state,
    refer_sub_of,
    refer_to_of,
    replaces_of,
)
from sip.message.uri import Uri, escape_user, parse_uri, subscriber, unescape_user, uri_equal

__all__ = [
    "COMPACT_NAMES",
    "REASON_PHRASES",
    "CSeq",
    "Headers",
    "KeepAlive",
    "Message",
    "MessageError",
    "NameAddr",
    "ParseError",
    "ReferTo",
    "Replaces",
    "Request",
    "Response",
    "SipError",
    "StreamParser",
    "SubscriptionState",
    "Uri",
    "UsageError",
    "Via",
    "build_auth",
    "build_message",
    "build_params",
    "escape_user",
    "is_token",
    "parse_auth",
    "parse_cseq",
    "parse_event",
    "parse_list",
    "parse_message",
    "parse_name_addr",
    "parse_params",
    "parse_replaces",
    "parse_sipfrag",
    "parse_subscription_state",
    "parse_uint",
    "parse_uri",
    "parse_value",
    "parse_via",
    "quote",
    "quote_unless_token",
    "reason_phrase",
    "refer_sub_of",
    "refer_to_of",
    "replaces_of",
    "subscriber",
    "unescape_user",
    "unquote",
    "uri_equal",
]
