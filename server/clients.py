"""The clients of one configuration: who may prove what (`sip.core.door.Accounts`). Pure.

A password that is written in the configuration is turned into its digests here, and is kept nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from config.peers import ClientSettings
from config.settings import Settings
from config.types import parse_listen
from sip.core.digest_server import Secrets, ha1
from sip.core.door import Account
from sip.core.flows import Listener


class Clients:
    """listeners: as opened; what clients write behind their name may be the address of any."""

    def __init__(self, settings: Settings, listeners: Sequence[Listener] = ()) -> None:
        self._accounts = {one.name: Account(secrets_of(one, settings.registrar.realm), one.active) for one in settings.clients}
        hosts = {settings.registrar.realm, settings.sip.advertise, *(parse_listen(text).host for text in settings.sip.listen)}
        hosts |= {address.host for one in listeners for address in (one.bind, one.advertised)}
        self._hosts = frozenset(host.lower() for host in hosts if host)

    def any(self) -> bool:
        return bool(self._accounts)

    def find(self, name: str) -> Account | None:
        return self._accounts.get(name)

    def is_ours(self, host: str) -> bool:
        return host.lower() in self._hosts


def secrets_of(client: ClientSettings, realm: str) -> Secrets:
    password = client.password.get_secret_value()
    if password:
        found = {name: ha1(name, client.name, realm, password) for name in ("SHA-256", "MD5")}
    else:
        found = {"SHA-256": client.ha1_sha256.get_secret_value(), "MD5": client.ha1_md5.get_secret_value()}
    return Secrets(tuple((name, digest) for name, digest in found.items() if digest))
