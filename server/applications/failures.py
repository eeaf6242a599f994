"""Why an exchange with an application has no answer: one of the constants of `Fetched.error`, and the words."""

from __future__ import annotations

import logging

import aiohttp

log = logging.getLogger(__name__)


class Failure(Exception):
    """error: one of the constants of Fetched.error; detail: for the application's author, naming the setting where there is one."""

    def __init__(self, error: str, detail: str) -> None:
        self.error, self.detail = error, detail
        super().__init__(detail)


class OverLimit(aiohttp.ClientPayloadError):
    """The answer has more octets than an answer may have; the text says of what, and which setting."""


def failure_of(problem: Exception, refusals: list[str], timeout_s: float) -> Failure:  # noqa: C901  # a table
    """Sort what went wrong. refusals: addresses that the guard refused meanwhile."""
    match problem:
        case Failure():
            return problem
        case OverLimit():
            return Failure("protocol", str(problem))
        case aiohttp.ClientConnectorCertificateError():
            return Failure("tls", f"the certificate of {problem.host} is not trusted: {problem.certificate_error}")
        case aiohttp.ClientSSLError():
            return Failure("tls", f"no TLS connection: {problem.strerror or problem}")
        case aiohttp.ClientConnectorError() if refusals:
            return Failure("blocked", "; ".join(dict.fromkeys(refusals)))
        case aiohttp.ClientConnectorDNSError():
            return Failure("connect", f"no address for {problem.host}: {problem.os_error.strerror or problem.os_error}")
        case aiohttp.ClientConnectorError():
            return Failure("connect", f"no connection to {problem.host}:{problem.port}: {problem.os_error.strerror or problem.os_error}")
        case aiohttp.SocketTimeoutError():
            return Failure("timeout", f"the answer stood still: {problem}")
        case TimeoutError():
            return Failure("timeout", f"no complete answer in {timeout_s:g} s")
        case aiohttp.InvalidURL():
            return Failure("url", f"{problem} cannot be asked")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientConnectionError():
            return Failure("connect", f"the connection was closed before an answer came: {problem}")
        case aiohttp.ClientPayloadError():
            return Failure("protocol", f"the body broke off or is garbled: {problem}")
        case aiohttp.ClientResponseError():
            return Failure("protocol", f"the answer is not HTTP: {problem.message[:200]}")
        case aiohttp.ClientError():
            return Failure("protocol", str(problem)[:300])
        case OSError():  # the file that it should be written to
            return Failure("protocol", f"cannot be stored: {problem.strerror or problem}")
        case _:
            log.error("fetch_failed_unexpectedly", exc_info=problem)
            return Failure("protocol", f"{type(problem).__name__}: {problem}"[:300])
