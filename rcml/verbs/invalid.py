"""A verb of which nothing can be run, because the URL that it lives on is none."""

from __future__ import annotations

from dataclasses import dataclass

from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Invalid(Verb):
    """Reaching it ends the call as failed (behaviour 9: 11100). name: of the verb as written."""

    line: int
    name: str
