"""Where each resource is on both faces: with `.json` behind it or behind its list, or without."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from server.api.faces import Face
from server.api.problems import NOT_FOUND, RestProblem
from server.api.resources import account, calls, notifications, recordings
from server.api.rest import Answer, Asked, Handler, RestDeps, served

_SID = "{sid:[A-Za-z0-9-]+}"
_JSON = r"{suffix:(\.json)?}"

# What is done by which method where; `*` stands for a sid.
TABLE: dict[tuple[str, str], Handler] = {
    ("GET", ""): account.read,
    ("GET", "/Calls"): calls.listing,
    ("POST", "/Calls"): calls.create,
    ("GET", "/Calls/*"): calls.read,
    ("POST", "/Calls/*"): calls.change,
    ("GET", "/Calls/*/Recordings"): recordings.of_call,
    ("GET", "/Calls/*/Notifications"): notifications.of_call,
    ("GET", "/Recordings"): recordings.listing,
    ("GET", "/Recordings/*"): recordings.read,
    ("DELETE", "/Recordings/*"): recordings.remove,
    ("GET", "/Notifications"): notifications.listing,
    ("GET", "/Notifications/*"): notifications.read,
}


def routes(deps: RestDeps) -> Iterator[web.RouteDef]:
    for face in Face:
        base = face.value + "/Accounts/{account:[A-Za-z0-9]+}"
        for (method, place), handler in TABLE.items():
            handle = served(deps, face, handler)
            yield web.route(method, base + place.replace("*", _SID) + _JSON, handle)
            if place.endswith("/*"):  # `/Calls.json/CA...` is Restcomm's way
                yield web.route(method, base + place.replace("/*", r".json/") + _SID, handle)
        yield web.route("*", base + "{rest:.*}", served(deps, face, _nothing))


async def _nothing(asked: Asked) -> Answer:
    raise RestProblem(404, NOT_FOUND, f"{asked.request.method} {asked.request.path} is not served here")
