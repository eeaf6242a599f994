"""What can be wrong with a configuration, said so that it can be put right.

ConfigError          everything found wrong, in one go (`problems`)
    Problem          one of them: where, what, and the remedy
StateInUse           another server runs on the state directory
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    source: the file (with its line when known) or the environment variable that said so.
    key: the setting as it is written in TOML, such as `http.timeout_s` or `trunks[0].proxy`; "" for the file as a whole.
    message: what is wrong with it. remedy: what to write instead; "" when the message says it all.
    """

    source: str
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.source}: {self.key}: " if self.key else f"{self.source}: "
        return where + self.message + (f"\n    {self.remedy}" if self.remedy else "")

    def in_a_line(self) -> str:
        """For logs and lists: what is wrong as a sentence, and the remedy behind it."""
        where = f"{self.source}: {self.key}: " if self.key else f"{self.source}: "
        return where + self.message + (f". {self.remedy}" if self.remedy else ".")


class ConfigError(Exception):
    """The operator's settings cannot be used. Its text is meant to be printed as it is."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StateInUse(Exception):
    """Another process holds the state directory. Its text is meant to be printed as it is."""

    def __init__(self, state: str, holder: str) -> None:
        """holder: its process number, empty when it is not known."""
        who = f"process {holder}" if holder else "another process"
        super().__init__(
            f"a server runs on {state} already ({who}): stop it, or give this one a state directory of its own (server.state_dir)"
        )
