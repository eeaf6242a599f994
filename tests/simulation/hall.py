"""Callers who meet in conference rooms, for simulations of whole calls."""

from __future__ import annotations

from server.calls.effects import Fetch, Fetched
from server.calls.legs.leg import Leg
from sip.core.refer import Refer
from tests.simulation.world import VOICE_URL, Phone, World

ACTION = "http://app/action"
STATUS = "http://app/room"


class Hall(World):
    """Callers of one number, each with a document of its own in the order of their calls; the last is for all further ones."""

    def open(self, *documents: str) -> None:
        pages = list(documents)

        def page(request: Fetch) -> Fetched:
            return self.web.answer(request, pages.pop(0) if len(pages) > 1 else pages[0])

        self.web.pages[VOICE_URL] = page
        self.callers: list[Phone] = []

    def call(self, count: int = 1, every: float = 2.0) -> None:
        """So many more callers, one after another, and the time until the last is in."""
        for _ in range(count):
            phone = self.phone(f"10.0.2.{len(self.callers) + 1}", extensions=(Refer(),))
            self.callers.append(phone)
            phone.call("2222")
            self.run(every)

    def leg(self, index: int) -> Leg:
        """Of a caller that is still there."""
        return next(call.leg for call in self.registry.calls.values() if call.leg.sid == self.sids[index])

    @property
    def sids(self) -> list[str]:
        """Of all calls there have been, in their order."""
        return [str(note.call_sid) for note in self.notes if note.data.get("status") == "ringing" and not note.leg]

    @property
    def room(self) -> str:
        (sid,) = self.registry.conferences.rooms
        return sid

    def talking(self) -> set[int]:
        """Who is in a mix now, by the order of their calls; there is one at the most."""
        assert len(self.engine.mixes) <= 1
        return {self.sids.index(stream) for members in self.engine.mixes.values() for stream in members}

    def hearing(self, index: int) -> list[str]:
        """What a caller is played now: files and tones; silence is nothing."""
        play = self.engine.streams[self.sids[index]].play
        found = [one for one in self.engine.played if one.play == play and one.stream == self.sids[index]]
        return [text for one in found for text in (*one.files, one.tone) if text]

    def prompt(self, url: str) -> int:
        """The number under which a file was asked for last."""
        return [asked.prompt for asked in self.web.prepared if getattr(asked, "url", "") == url][-1]

    def actions(self) -> list[str]:
        return [parameters["DialCallStatus"] for parameters in self.web.of("action")]

    def close(self) -> None:
        """All hang up; nothing is left."""
        for phone in self.callers:
            phone.hang_up()
        self.run()
        assert self.leaks() == []


def conference(attributes: str = "", dial: str = f'action="{ACTION}"', name: str = "blue", after: str = "") -> str:
    return f"<Response><Dial {dial}><Conference {attributes}>{name}</Conference></Dial>{after}</Response>"
