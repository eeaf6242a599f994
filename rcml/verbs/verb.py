"""What the interpreter and call control need to know of any verb, as data: no place outside asks which verb it is."""

from __future__ import annotations

from typing import ClassVar


class Verb:
    """The base of all parsed verbs: frozen dataclasses with a `line`, each in a file of its own.

    needs_call: it is skipped once the caller has gone (behaviour 0.6).
    connects: it calls somebody. After an answered one the setting `after_answer` may skip those that follow (2.8).
    only_waits: it is there for what follows it, and is skipped with it (behaviour 0.3).
    beside_a_call: it may stand in a document that runs for a party beside the caller, such as a screening document (2.5).
    """

    __slots__ = ()

    line: int
    needs_call: ClassVar[bool] = True
    connects: ClassVar[bool] = False
    only_waits: ClassVar[bool] = False
    beside_a_call: ClassVar[bool] = True

    @property
    def action(self) -> str | None:
        """Absolute URL that is asked for the next document when the verb is over; None: the next verb follows."""
        return None

    @property
    def method(self) -> str:
        """With which `action` is asked."""
        return "POST"

    @property
    def action_invalid(self) -> bool:
        """An action was given and is no URL: the call ends with the verb (behaviour 0.11)."""
        return False

    @property
    def does_nothing(self) -> str | None:
        """Why it is passed over: the sentence of a notice, "" when the document has that already; None: it is carried out."""
        return None

    def answers(self, answer_delay: bool) -> bool:
        """Whether it makes us answer a call that still rings (1.8, 4.1, 4.4). answer_delay: the setting, or the number's."""
        return False
