"""A leg's place in the mix of a room: what a bridge is to two legs, a seat is to one of many."""

from __future__ import annotations

from media import engine
from server.calls.effects import Kind
from server.calls.legs.leg import Leg
from server.calls.names import mix_play_name


class Seat:
    """mix: the one that the leg is in, "" for none. While there is one, the leg takes the seat for its bridge."""

    talking = False  # nobody is its one peer, so nobody's silence is the other half of its own

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self.mix = ""

    # --- as legs know it ------------------------------------------------------------------------------------------

    def heard_by(self, leg: Leg) -> bool:
        """A mix sends to each of its members all the time."""
        return bool(self.mix)

    def peer_of(self, leg: Leg) -> Leg | None:
        return None

    def renegotiated(self, leg: Leg) -> None:
        """Another codec is no matter to the others: each has its own way out of the mix."""

    def lost(self) -> None:
        self.mix = ""
        self._leg.bridge = None

    # --- commands -------------------------------------------------------------------------------------------------

    def join(self, mix: str, *, beep: bool) -> None:
        self.mix = mix
        self._leg.bridge = self
        self._leg.media.join(mix, beep=beep)

    def leave(self, *, beep: bool) -> None:
        if self.mix:
            self._leg.media.leave(self.mix, beep=beep)
            self.lost()

    def left(self, mix: str) -> bool:
        """The engine says so. True when nobody had asked for it."""
        leaving = self._leg.media.leaving
        if mix in leaving:
            leaving.remove(mix)
            return False
        return mix == self.mix

    # --- plays to all: an output like a leg's own (`server.calls.verbs.listening`) ----------------------------------

    def play_files(self, files: list[str], loop: int) -> str | None:
        """To all members of the mix; None outside of one."""
        if not self.mix:
            return None
        self._leg.media.mix_plays += 1
        play = mix_play_name(self._leg.sid, self._leg.media.mix_plays)
        self._leg.outbox.emit(engine.Play(mix=self.mix, play=play, files=files, loop=loop))
        self._leg.outbox.note(Kind.MEDIA, {"event": "play", "what": ", ".join(files), "loop": loop, "mix": self.mix}, self._leg.sid)
        return play

    def stop_playing(self) -> None:
        """What was played last, if it still is."""
        if self.mix:
            self._leg.outbox.emit(engine.StopPlay(mix=self.mix, play=mix_play_name(self._leg.sid, self._leg.media.mix_plays)))
