"""Clients out of the configuration: their digests, their domains."""

from __future__ import annotations

from config.consistency import contradictions
from config.settings import Settings
from server.clients import Clients
from sip.core.digest_server import ha1
from sip.core.flows import Address, Listener


def settings(**given: object) -> Settings:
    return Settings.model_validate({"sip": {"listen": ["udp:192.0.2.1:5060"], "advertise": "pbx.example.com"}} | given)


def test_a_password_and_its_digests_say_the_same() -> None:
    by_password = Clients(settings(clients=[{"name": "alice", "password": "wonderland"}])).find("alice")
    digests = {
        "ha1_sha256": ha1("SHA-256", "alice", "dialplane", "wonderland"),
        "ha1_md5": ha1("MD5", "alice", "dialplane", "wonderland").upper(),
    }
    by_digests = Clients(settings(clients=[{"name": "alice", **digests}])).find("alice")
    assert by_password is not None
    assert by_digests is not None
    assert by_password.secrets == by_digests.secrets
    assert by_password.secrets.of("MD5") == ha1("MD5", "alice", "dialplane", "wonderland")


def test_the_realm_is_part_of_the_digest() -> None:
    other = Clients(settings(clients=[{"name": "alice", "password": "wonderland"}], registrar={"realm": "pbx"})).find("alice")
    assert other is not None
    assert other.secrets.of("MD5") == ha1("MD5", "alice", "pbx", "wonderland")


def test_a_client_that_is_off_is_known_and_not_active() -> None:
    clients = Clients(settings(clients=[{"name": "alice", "password": "x", "active": False}]))
    account = clients.find("alice")
    assert account is not None
    assert not account.active
    assert clients.find("bob") is None
    assert clients.any()
    assert not Clients(settings()).any()


def test_our_domains_are_the_realm_and_whatever_we_listen_on_or_say() -> None:
    listener = Listener("udp", Address("0.0.0.0", 5060), Address("198.51.100.1", 5060))
    clients = Clients(settings(), (listener,))
    assert all(clients.is_ours(host) for host in ("192.0.2.1", "PBX.example.com", "198.51.100.1", "dialplane"))
    assert not clients.is_ours("example.net")


def test_who_could_never_register_is_told() -> None:
    found = [one.message for one in contradictions(settings(clients=[{"name": "alice"}, {"name": "bob", "password": "x"}]))]
    assert found == ['client "alice" has no password, so it cannot register']
    only = {"realm": "pbx", "algorithms": ["MD5"]}
    found = [one.message for one in contradictions(settings(clients=[{"name": "bob", "ha1_sha256": "0" * 64}], registrar=only))]
    assert found == ['client "bob" has no digest for MD5, which registrar.algorithms wants']
    found = [one.message for one in contradictions(settings(registrar={"min_expires_s": 600, "max_expires_s": 300}))]
    assert found == ["600 is more than registrar.max_expires_s, 300"]
