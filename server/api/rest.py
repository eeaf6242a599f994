"""What all resources of REST have in common: who asks, on which face, in which form the answer goes out.

The account's sid is the user and the API token the password (Basic). Whoever sends the token as Bearer token is an operator, and may too.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiohttp import web

from config.settings import Settings
from server.api import problems
from server.api.access import Credentials, credentials, is_account
from server.api.documents import as_json, as_xml
from server.api.faces import Face
from server.api.forms import Form, read_form
from server.api.problems import RestProblem
from server.orders import Orders
from server.storage.database import Database

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Form)
FORM = "application/x-www-form-urlencoded"


class RestDeps(Protocol):
    """What of the server REST works with."""

    settings: Settings
    database: Database

    @property
    def orders(self) -> Orders: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """name: of the thing in XML (`Call`); empty: no body."""

    name: str
    document: Mapping[str, object]
    status: int = 200


NOTHING = Answer("", {}, 204)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, whose sender may ask. path: of the account on this face, for links."""

    request: web.Request
    deps: RestDeps
    face: Face

    @property
    def account_sid(self) -> str:
        return self.deps.settings.server.account_sid

    @property
    def path(self) -> str:
        return f"{self.face.value}/Accounts/{self.account_sid}"

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    def sid(self) -> str:
        return self.request.match_info["sid"]

    async def form(self, kind: type[F]) -> F:
        if self.request.content_type != FORM:
            raise RestProblem(415, problems.NOT_A_FORM, f"Send the parameters as {FORM}")
        try:
            fields = await self.request.post()
        except (LookupError, ValueError) as error:  # a charset that nobody knows, octets that are not of it
            raise problems.bad(f"The form cannot be read: {error}") from None
        return read_form(kind, fields)


Handler = Callable[[Asked], Awaitable[Answer]]


def served(deps: RestDeps, face: Face, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a route: its problems become answers of the face."""

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            _may_ask(request, deps.settings)
            answer = await handler(Asked(request, deps, face))
        except RestProblem as problem:
            return _told(request, face, problem)
        except web.HTTPException as error:
            code = problems.TOO_LARGE if error.status == 413 else problems.METHOD
            return _told(request, face, RestProblem(error.status, code, error.reason))
        except Exception:
            log.exception("api_failed", extra={"method": request.method, "path": request.path})
            return _told(request, face, RestProblem(500, problems.INTERNAL, "Internal error"))
        if not answer.name:
            return web.Response(status=answer.status)
        if _wants_json(request, face):
            return web.Response(text=as_json(_trimmed(answer.document, face)), status=answer.status, content_type="application/json")
        return web.Response(text=as_xml(answer.name, _trimmed(answer.document, face)), status=answer.status, content_type="application/xml")

    return serve


def _may_ask(request: web.Request, settings: Settings) -> None:
    server = settings.server
    header = request.headers.get("Authorization", "")
    right = credentials(header, server.api_token.get_secret_value()) is Credentials.RIGHT
    if not right or not is_account(header, server.account_sid):
        raise RestProblem(
            401, problems.UNAUTHORIZED, "Authenticate: the user is the account's sid, the password what `dialplane token` shows"
        )
    if request.match_info["account"].removesuffix(".json") != server.account_sid:
        raise RestProblem(403, problems.FORBIDDEN, "The account of this URL is not the one that asks")
    # A browser that knows the password sends it with what a foreign page makes it send.
    if request.method != "GET" and request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RestProblem(403, problems.FORBIDDEN, "A page of another site may not give orders")


def _wants_json(request: web.Request, face: Face) -> bool:
    accepted = request.headers.get("Accept", "")
    return face is Face.TWILIO or ".json" in request.path or "json" in accepted


def _trimmed(document: Mapping[str, object], face: Face) -> Mapping[str, object]:
    """Restcomm leaves out what is not set, but for the links of a page; Twilio's clients expect null."""
    if face is Face.TWILIO or "page" in document:
        return {
            key: [_trimmed(row, face) if isinstance(row, Mapping) else row for row in value] if isinstance(value, list) else value
            for key, value in document.items()
        }
    return {key: value for key, value in document.items() if value is not None}


def _told(request: web.Request, face: Face, problem: RestProblem) -> web.Response:
    headers = {"WWW-Authenticate": 'Basic realm="dialplane"'} if problem.status == 401 else {}
    if problem.status == 503:
        headers["Retry-After"] = "10"
    if face is Face.RESTCOMM and not _wants_json(request, face):
        return web.Response(text=problem.message + "\n", status=problem.status, headers=headers)
    document: dict[str, object] = {"code": problem.code, "message": problem.message, "status": problem.status}
    document["more_info"] = f"https://www.twilio.com/docs/errors/{problem.code}" if face is Face.TWILIO else ""
    return web.Response(text=as_json(document), status=problem.status, headers=headers, content_type="application/json")
