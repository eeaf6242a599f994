"""TLS without sockets: two sessions hand each other their octets. Certificates are made by the openssl program, once."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sip.transport.settings import TlsSettings
from sip.transport.tls import Tls, TlsFailed, TlsSession, TlsUnusable, identities, is_for
from tests.support.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue("ours", "DNS:sip.example.com", "URI:sip:example.com", "IP:127.0.0.1", "IP:::1")


def shake_hands(client: TlsSession, server: TlsSession) -> None:
    """Until nobody has anything to say. Raises TlsFailed of whoever it fails for, the alert handed over."""
    for _ in range(10):
        for one, other in ((client, server), (server, client)):
            data = one.outgoing()
            if data:
                assert other.receive(data) == b""
        if client.opened and server.opened:
            return
    raise AssertionError("the handshake does not end")


def pair(server: Tls, client: Tls, name: str) -> tuple[TlsSession, TlsSession]:
    sessions = client.connecting(name), server.accepting()
    shake_hands(*sessions)
    return sessions


# --- a session ------------------------------------------------------------------------------------------------------


def test_octets_go_both_ways_in_order(authority: Authority, ours: Certificate) -> None:
    client, server = pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(authority.ca))), "sip.example.com")
    client.send(b"one ")
    client.send(b"two" * 50_000)
    received, wire = b"", client.outgoing()
    for at in range(0, len(wire), 999):  # records are cut anywhere
        received += server.receive(wire[at : at + 999])
    assert received == b"one " + b"two" * 50_000
    server.send(b"back")
    assert client.receive(server.outgoing()) == b"back"


def test_octets_behind_the_handshake_are_not_lost(authority: Authority, ours: Certificate) -> None:
    client, server = Tls(TlsSettings(ca_file=str(authority.ca))).connecting("example.com"), Tls(ours.settings()).accepting()
    server.receive(client.outgoing())
    client.receive(server.outgoing())
    assert client.opened
    client.send(b"at once")
    assert server.receive(client.outgoing()) == b"at once"
    assert server.opened


def test_the_end_is_told(authority: Authority, ours: Certificate) -> None:
    client, server = pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(authority.ca))), "sip.example.com")
    client.send(b"last")
    client.close()
    assert server.receive(client.outgoing()) == b"last"
    assert server.closed
    server.send(b"too late")  # lost, and no error


GARBAGE = [b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 70000, b"\x00" * 40, b"GET / HTTP/1.1\r\n\r\n"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_tls_fails_with_a_reason(ours: Certificate, garbage: bytes) -> None:
    server = Tls(ours.settings()).accepting()
    with pytest.raises(TlsFailed):
        server.receive(garbage)


@pytest.mark.parametrize("name", ["a..example.com", "x" * 64 + ".example.com", ".example.com"])
def test_a_name_that_no_host_can_have_is_a_failure_and_no_bug(name: str) -> None:
    with pytest.raises(TlsFailed, match="is no name of a host"):
        Tls(TlsSettings()).connecting(name)


def test_an_old_version_is_not_spoken(authority: Authority, ours: Certificate) -> None:
    server = Tls(ours.settings(minimum_version="1.3"))
    client = Tls(TlsSettings(ca_file=str(authority.ca)))
    client._client.maximum_version = client._client.minimum_version
    with pytest.raises(TlsFailed, match=r"no version of TLS"):
        pair(server, client, "example.com")


# --- who is vouched for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sip.example.com", "EXAMPLE.com", "example.com.", "127.0.0.1", "::1"])
def test_the_name_of_the_uri_is_looked_for__rfc5922_7_1(authority: Authority, ours: Certificate, name: str) -> None:
    pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(authority.ca))), name)


@pytest.mark.parametrize("name", ["evil.com", "a.sip.example.com", "com", "127.0.0.2", "ample.com"])
def test_another_name_is_refused_and_both_are_told__rfc5922_7_2(authority: Authority, ours: Certificate, name: str) -> None:
    with pytest.raises(TlsFailed, match=rf"is for sip.example.com, example.com, 127.0.0.1, ::1, not for {name}"):
        pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(authority.ca))), name)


def test_another_authority_is_refused(ours: Certificate, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    with pytest.raises(TlsFailed, match="certificate is not accepted: "):
        pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(other.ca))), "example.com")
    pair(Tls(ours.settings()), Tls(TlsSettings(ca_file=str(other.ca), verify_peers=False)), "example.com")


def test_a_client_shows_its_certificate_when_it_is_wanted(authority: Authority, ours: Certificate) -> None:
    server = Tls(ours.settings(ca_file=str(authority.ca), client_certificates="required"))
    pair(server, Tls(authority.issue("client", "DNS:client.example").settings(ca_file=str(authority.ca))), "example.com")
    with pytest.raises(TlsFailed, match="shows no certificate"):
        pair(server, Tls(TlsSettings(ca_file=str(authority.ca))), "example.com")
    optional = Tls(ours.settings(ca_file=str(authority.ca), client_certificates="optional"))
    pair(optional, Tls(TlsSettings(ca_file=str(authority.ca))), "example.com")


def cert(*names: tuple[str, str], common: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"subject": ((("commonName", common),),)}
    return found | ({"subjectAltName": names} if names else {})


def test_the_common_name_counts_only_without_alternative_names__rfc5922_7_1() -> None:
    assert identities(cert(common="Example.com")) == ("example.com",)
    assert identities(cert(("DNS", "other.com"), common="example.com")) == ("other.com",)
    assert not is_for(cert(("DNS", "other.com"), common="example.com"), "example.com")


def test_uris_count_when_they_are_of_domains__rfc5922_7_1() -> None:
    names = (("URI", "sip:Example.com"), ("URI", "sip:bob@person.com"), ("URI", "sips:secure.com"), ("URI", "https://web.com"))
    assert identities(cert(*names)) == ("example.com",)


def test_wildcards_count_by_setting_alone__rfc5922_7_2() -> None:
    wild = cert(("DNS", "*.trunk.example.com"))
    assert not is_for(wild, "eu.trunk.example.com")
    assert is_for(wild, "eu.trunk.example.com", wildcards=True)
    assert not is_for(wild, "a.eu.trunk.example.com", wildcards=True)
    assert not is_for(wild, "trunk.example.com", wildcards=True)
    assert not is_for(cert(("DNS", "*.com")), "example.com", wildcards=True)


def test_an_empty_certificate_is_for_nobody() -> None:
    assert not is_for({}, "example.com")
    assert not is_for(cert(common=""), "")


# --- files ----------------------------------------------------------------------------------------------------------


def refused(**settings: str) -> TlsUnusable:
    with pytest.raises(TlsUnusable) as caught:
        Tls(TlsSettings(**settings))  # type: ignore[arg-type]
    assert caught.value.remedy
    return caught.value


def test_files_that_cannot_be_used_are_named_with_their_setting(authority: Authority, ours: Certificate, tmp_path: Path) -> None:
    certificate, key, text = str(ours.certificate), str(ours.key), tmp_path / "text"
    text.write_text("no PEM")
    other = str(authority.issue("other", "DNS:o.example").key)
    assert refused(certificate="/nowhere").setting == "certificate"
    assert refused(certificate=certificate, private_key="/nowhere").setting == "private_key"
    assert "holds no certificate" in refused(certificate=str(text)).said
    assert "no usable private key" in refused(certificate=certificate).said
    assert "no usable private key" in refused(certificate=certificate, private_key=str(text)).said
    assert "does not belong" in refused(certificate=certificate, private_key=other).said
    assert refused(ca_file=str(text)).setting == "ca_file"
    assert "sip.tls.ca_file" in str(refused(ca_file="/nowhere"))
    assert Tls(TlsSettings(certificate=certificate, private_key=key)).server is not None


def test_a_key_with_a_passphrase_is_refused_without_asking_the_terminal(ours: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", str(ours.key), "-aes256", "-passout", "pass:x", "-out", str(locked)], check=True)
    assert "passphrase" in refused(certificate=str(ours.certificate), private_key=str(locked)).said


def test_certificate_and_key_may_share_a_file(ours: Certificate, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(ours.certificate.read_text() + ours.key.read_text())
    assert Tls(TlsSettings(certificate=str(both))).server is not None


def test_without_a_certificate_we_connect_and_accept_nobody() -> None:
    assert Tls(TlsSettings()).server is None
