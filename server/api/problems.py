"""What REST cannot do for a client, with the code that clients of the face look at."""

from __future__ import annotations

# Codes of Twilio's, which its clients compare.
BAD_PARAMETER, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 20001, 20003, 20006, 20404, 20429
BAD_URL, BAD_TO, NOT_IN_PROGRESS = 21205, 21217, 21220
METHOD, TOO_LARGE, NOT_A_FORM, INTERNAL = 20004, 20413, 20415, 20500


class RestProblem(Exception):
    """status: of HTTP. message: names the parameter and the remedy."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def missing(what: str) -> RestProblem:
    """There is no such thing."""
    return RestProblem(404, NOT_FOUND, f"There is no such {what}")


def bad(message: str, code: int = BAD_PARAMETER) -> RestProblem:
    return RestProblem(400, code, message)
