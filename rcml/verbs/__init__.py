"""The verbs: one file each, with the value that a document is made of and how it is read from its element.

`PARSERS` is the one table of them; what each does in a call stands in the table of `server.calls.verbs`.
"""

from __future__ import annotations

from collections.abc import Callable

from rcml.reader import Element, Reader
from rcml.verbs import dial, gather, hangup, hold, pause, play, record, redirect, refer, reject, resume, say, unsupported
from rcml.verbs.dial import Dial
from rcml.verbs.gather import Gather
from rcml.verbs.hangup import Hangup
from rcml.verbs.hold import Hold
from rcml.verbs.invalid import Invalid
from rcml.verbs.nouns import Client, Conference, Noun, Number, Sip
from rcml.verbs.pause import Pause
from rcml.verbs.play import Play
from rcml.verbs.record import Record
from rcml.verbs.redirect import Redirect
from rcml.verbs.refer import Refer
from rcml.verbs.reject import Reject
from rcml.verbs.resume import Resume
from rcml.verbs.say import Say
from rcml.verbs.unsupported import Unsupported
from rcml.verbs.verb import Verb

# None: the element asks for nothing, and a notice says so.
PARSERS: dict[str, Callable[[Element, Reader], Verb | None]] = {
    "Dial": dial.parse,
    "Say": say.parse,
    "Play": play.parse,
    "Pause": pause.parse,
    "Gather": gather.parse,
    "Record": record.parse,
    "Redirect": redirect.parse,
    "Reject": reject.parse,
    "Hangup": hangup.parse,
    "Refer": refer.parse,
    "Hold": hold.parse,
    "Resume": resume.parse,
    **dict.fromkeys(sorted(unsupported.NAMES), unsupported.parse),
}

__all__ = [
    "PARSERS",
    "Client",
    "Conference",
    "Dial",
    "Gather",
    "Hangup",
    "Hold",
    "Invalid",
    "Noun",
    "Number",
    "Pause",
    "Play",
    "Record",
    "Redirect",
    "Refer",
    "Reject",
    "Resume",
    "Say",
    "Sip",
    "Unsupported",
    "Verb",
]
