"""Documents and the course of calls through them, as files: tests/vectors/rcml/*.txt.

A file is a document, `---`, and lines. `#` starts a comment. What goes in:
    < set NAME=VALUE ...             of the interpreter or its settings, before the start
    < start                          the document above
    < start XML                      another one, fetched from the URL that the last step named
    < answered | caller-gone
    < done | nothing | dial-done answered | dial-done unanswered | failed     (nothing: it has nothing to ask its action)
What must come out, all of it and in this order; notices first, in the order of their making:
    > notice LEVEL CODE line N
    > refused CODE line N
    > run VERB line N [answering]
    > fetch METHOD URL PURPOSE line N
    > refuse STATUS PHRASE
    > end REASON
Verbs that only say where the script goes on are told by what they lead to; that they do so in a call is held by
tests/unit/server/calls/verbs/test_flow.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rcml.document import parse_document
from rcml.errors import DocumentError
from rcml.interpreter import End, Fetch, Interpreter, Run, Step
from rcml.notices import Notice
from rcml.settings import RcmlSettings
from rcml.verbs import Hangup, Invalid, Redirect, Reject
from tests.unit.rcml.reading import URL

VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "rcml").glob("*.txt"))


class Course:
    """One call, driven by the lines of a file."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.url = URL
        self.options: dict[str, Any] = {}
        self.interpreter: Interpreter | None = None
        self.answered = False

    def give(self, event: str) -> list[str]:
        word, _, rest = event.partition(" ")
        if word == "set":
            self.options |= dict(pair.split("=") for pair in rest.split())
            return []
        call = self._call()
        match word, rest:
            case "start", "":
                return self._start(self.document)
            case "start", other:
                return self._start(other)
            case "answered", "":
                call.answered()
                self.answered = True
                return []
            case "caller-gone", "":
                call.caller_gone()
                return []
            case "done", "":
                return self._tell(call.done())
            case "nothing", "":
                return self._tell(call.done(asks=False))
            case "dial-done", ("answered" | "unanswered"):
                return self._tell(call.done(answered=rest == "answered", waited=False))
            case "failed", "":
                return self._tell(call.document_failed())
            case _:
                raise AssertionError(f"no such event: {event}")

    def _call(self) -> Interpreter:
        if self.interpreter is None:
            flags = {name: self.options.pop(name) == "true" for name in ("answered", "answer_delay") if name in self.options}
            self.answered = flags.get("answered", False)
            self.interpreter = Interpreter(settings=RcmlSettings(**self.options), **flags)
        return self.interpreter

    def _start(self, text: str) -> list[str]:
        settings = RcmlSettings(**self.options)
        try:
            document = parse_document(text.encode(), content_type="text/xml", url=self.url, settings=settings)
        except DocumentError as error:
            return [f"refused {error.code} line {error.line}"]
        return [told(notice) for notice in document.notices] + self._tell(self._call().start(document))

    def _tell(self, step: Step) -> list[str]:
        notices = [told(notice) for notice in self._call().take_notices()]
        match step:
            case Run(Redirect(line=line, url=url, method=method)):
                self.url = url
                said = f"fetch {method} {url} redirect line {line}"
            case Run(Reject(status=status, reason_phrase=reason)):
                said = "end reject-answered" if self.answered else f"refuse {status} {reason}"
            case Run(Hangup()):
                said = "end hangup"
            case Run(Invalid()):
                said = "end failed"
            case Run(verb, needs_answer):
                said = f"run {type(verb).__name__} line {verb.line}" + (" answering" if needs_answer else "")
            case Fetch(url, method, line):
                self.url = url
                said = f"fetch {method} {url} action line {line}"
            case End(why):
                said = f"end {why.value}"
        return [*notices, said]


def told(notice: Notice) -> str:
    return f"notice {notice.level} {notice.code} line {notice.line}"


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_call_takes_the_course_that_the_file_says(path: Path) -> None:
    document, divider, script = path.read_text(encoding="utf-8").partition("\n---\n")
    assert divider, "no --- line"
    lines = [line for line in script.splitlines() if line.strip() and not line.startswith("#")]
    assert lines[0].startswith("< ")
    course = Course(document)
    happened: list[str] = []
    for line in lines:
        if line.startswith("< "):
            happened.append(line)
            happened += [f"> {said}" for said in course.give(line[2:].strip())]
    assert happened == lines


def test_the_vectors_are_there() -> None:
    assert len(VECTORS) >= 15
