"""Certificates for tests, made by the openssl program: an authority of our own, and who it vouches for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sip.transport.settings import TlsSettings

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """In PEM: the certificate and its key in files of their own."""

    certificate: Path
    key: Path

    def settings(self, **more: object) -> TlsSettings:
        return TlsSettings(certificate=str(self.certificate), private_key=str(self.key), **more)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Authority:
    """Makes certificates in `directory`; `ca` is its own, for `ca_file`."""

    directory: Path
    name: str = "Test authority"

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        _openssl(
            *("req", "-x509", *_KEY, "-keyout", str(self._key), "-out", str(self.ca), "-days", "2", "-subj", f"/CN={self.name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def _key(self) -> Path:
        return self.directory / "ca.key"

    def issue(self, file: str, *alternative: str, subject: str = "somebody") -> Certificate:
        """alternative: names such as `DNS:edge.example.com`, `URI:sip:example.com`, `IP:127.0.0.1`."""
        made = Certificate(self.directory / f"{file}.pem", self.directory / f"{file}.key")
        names = ("-addext", f"subjectAltName={','.join(alternative)}") if alternative else ()
        _openssl(
            *("req", "-x509", "-CA", str(self.ca), "-CAkey", str(self._key)),
            *(*_KEY, "-keyout", str(made.key), "-out", str(made.certificate)),
            *("-days", "2", "-subj", f"/CN={subject}", *names, "-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return made


def _openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
