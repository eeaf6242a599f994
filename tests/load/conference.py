"""What a participant of a conference costs: `python -m tests.load.conference` (make bench-conference).

A whole server with one room: SIPp phones call in one after another, a third each with PCMU, PCMA and G.722, and all of them talk all the
time. Told are the CPU of the control process for each one who comes and goes, the CPU of the media worker while all are in, for each
participant, and how many of the packets that each should hear have come. The phones run on the cores that are left; on a busy machine the
CPU times still count, and packets may be late.

The exit status is 1 when a call failed, an action was not asked, or a phone missed more than one packet of a hundred.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path

from tests.load.measure import cpu_s
from tests.support.app import Application, nothing, rcml
from tests.support.codec_phone import G722, PCMA, PCMU, CodecPhone, encode_all
from tests.support.likeness import tone
from tests.support.scene import Scene
from tests.support.server import ANSWERING, ServerProcess, serving
from tests.support.sipp import Phone

FORMATS = (PCMU, PCMA, G722)
EVERY_S = 0.2  # so often one calls
PACKETS_PER_S = 50


async def measure(server: ServerProcess, participants: int, seconds: float, directory: Path) -> bool:
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(Application(port=server.app_port))
        scene = await stack.enter_async_context(Scene(server, app, directory))
        app.answer("/voice", rcml(f"<Dial action='/done'><Conference maxParticipants='{participants}'>bench</Conference></Dial>"))
        app.answer("/done", nothing())
        said = {format: encode_all(format, tone(format.rate_hz, 400.0, 2.0, 1500)) for format in FORMATS}
        control, (worker, *_) = server.process.pid, server.worker_pids()
        stay_s = participants * EVERY_S + seconds + 15.0
        before = cpu_s(control)
        phones: list[tuple[Phone, CodecPhone]] = []
        for index in range(participants):
            rtp = await scene.codec(FORMATS[index % len(FORMATS)])
            talk_ms = round(1000 * (stay_s - index * EVERY_S))
            keys: dict[str, str | int] = {"number": ANSWERING, "payloads": rtp.payload_type, "talk_ms": talk_ms}
            remote = ("127.0.0.1", server.sip_port)
            phone = Phone("caller_hangs_up", directory, remote=remote, rtp=rtp, keys=keys, timeout_s=stay_s + 30.0)
            await scene.playing(phone)
            rtp.say_encoded(said[rtp.format] * round(stay_s))
            phones.append((phone, rtp))
            await asyncio.sleep(EVERY_S)
        for phone, _ in phones:
            await phone.until("ACK")
        await asyncio.sleep(2.0)
        marks = [rtp.mark() for _, rtp in phones]
        came_in, spent, mixing = cpu_s(control) - before, cpu_s(control), cpu_s(worker)
        await asyncio.sleep(seconds)
        spent, mixing = cpu_s(control) - spent, cpu_s(worker) - mixing
        heard = [rtp.mark() - mark for (_, rtp), mark in zip(phones, marks, strict=True)]
        before = cpu_s(control)
        await scene.through(*(phone for phone, _ in phones))
        await app.asked("/done", participants)
        gone = cpu_s(control) - before
        worst = min(heard) / (seconds * PACKETS_PER_S)
        print(f"{participants} participants, a third each PCMU, PCMA and G.722, all of them talking")
        print(f"control process: {1000 * came_in / participants:.1f} ms CPU for each to come in, {1000 * gone / participants:.1f} ms to go")
        print(f"control process while all are in: {100 * spent / seconds:.1f} % of a core")
        each = 100 * mixing / seconds / participants
        print(f"media worker while all are in: {100 * mixing / seconds:.1f} % of a core, {each:.2f} % for each")
        mean = sum(heard) / len(heard) / (seconds * PACKETS_PER_S)
        print(f"packets that came: {100 * mean:.1f} % of those due, {100 * worst:.1f} % at the worst")
        return len(app.asked_for("/done")) == participants and worst > 0.99


def main() -> int:
    parser = argparse.ArgumentParser(description="What a participant of a conference costs.")
    parser.add_argument("--participants", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0, help="of all together")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(ServerProcess(Path(folder) / "server")) as server:
        return 0 if asyncio.run(measure(server, options.participants, options.seconds, Path(folder))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
