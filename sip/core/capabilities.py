"""What the program behind the core can do: facts of the program, so no settings.

They are written into Allow and Supported, and decide what a UAS refuses before anybody is asked.
Source: RFC 3261 8.2.1, 8.2.2.3, 11.2, 20.5, 20.37.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.message import UsageError, is_token

CORE_METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS")  # served by the core itself
ACCEPTED_BODIES = "application/sdp, multipart/mixed, multipart/alternative, multipart/related"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """
    inside: methods of requests inside a dialog that the user answers (RequestReceived).
    outside: methods of requests outside of a dialog that the user answers (OutOfDialogReceived); OPTIONS may be one of them.
    option_tags: extensions that are understood; a Require of any other is 420. In lower case.

    Raises UsageError for a method that the core keeps for itself.
    """

    inside: tuple[str, ...] = ("INFO", "NOTIFY", "UPDATE")
    outside: tuple[str, ...] = ()
    option_tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for method in (*self.inside, *(one for one in self.outside if one != "OPTIONS")):
            if method in CORE_METHODS or not is_token(method):
                raise UsageError(f"not a method for the user to serve: {method!r}")
        for tag in self.option_tags:
            if tag != tag.lower() or not is_token(tag):
                raise UsageError(f"not an option tag in lower case: {tag!r}")

    def __or__(self, other: Capabilities) -> Capabilities:
        """What both can do together."""
        return Capabilities(
            _union(self.inside, other.inside), _union(self.outside, other.outside), _union(self.option_tags, other.option_tags)
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """All that is served, in the order of Allow."""
        return _union(CORE_METHODS, _union(self.inside, self.outside))


NOTHING = Capabilities(inside=())


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return (*one, *(each for each in other if each not in one))
