"""What others import from the package stays importable."""

from __future__ import annotations

import sip.message


def test_public_names_exist() -> None:
    assert [name for name in sip.message.__all__ if not hasattr(sip.message, name)] == []


def test_public_names_of_the_contract() -> None:
    wanted = {
        "CSeq", "Headers", "KeepAlive", "Message", "NameAddr", "ParseError", "REASON_PHRASES", "Request", "Response", "SipError",
        "StreamParser", "Uri", "UsageError", "Via", "build_auth", "build_message", "parse_auth", "parse_cseq", "parse_list",
        "parse_message", "parse_name_addr",
        "parse_params", "parse_uint", "parse_uri", "parse_via", "unescape_user", "uri_equal",
    }  # fmt: skip
    assert wanted <= set(sip.message.__all__)
