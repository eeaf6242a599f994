"""What each verb does in a call: one file each, and the one table that call control looks them up in.

`rcml.verbs` has the same verbs as they are read from a document. A verb without a line here ends the script with a notification,
and a test keeps both tables alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcml.verbs import Dial, Gather, Hangup, Hold, Invalid, Pause, Play, Record, Redirect, Refer, Reject, Resume, Say, Verb
from server.calls.verbs.conference import run_dial
from server.calls.verbs.gather import RunningGather
from server.calls.verbs.hangup import RunningHangup
from server.calls.verbs.hold import RunningHold, RunningResume
from server.calls.verbs.invalid import RunningInvalid
from server.calls.verbs.pause import RunningPause
from server.calls.verbs.play import RunningPlay
from server.calls.verbs.record import RunningRecord
from server.calls.verbs.redirect import RunningRedirect
from server.calls.verbs.refer import RunningRefer
from server.calls.verbs.reject import RunningReject
from server.calls.verbs.running import RunningVerb, Stage
from server.calls.verbs.say import RunningSay

RUNNING: dict[type[Verb], Callable[[Stage, Any], RunningVerb]] = {
    Dial: run_dial,
    Say: RunningSay,
    Play: RunningPlay,
    Pause: RunningPause,
    Gather: RunningGather,
    Record: RunningRecord,
    Redirect: RunningRedirect,
    Reject: RunningReject,
    Hangup: RunningHangup,
    Refer: RunningRefer,
    Hold: RunningHold,
    Resume: RunningResume,
    Invalid: RunningInvalid,
}
