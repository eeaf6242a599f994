"""What a newcomer does first: `make run`, and the README's own application. Both as they are written there."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support import ports, sound
from tests.support.app import Application
from tests.support.ports import free_port
from tests.support.scene import Scene
from tests.support.server import ROOT, ServerProcess, child_processes, is_alive

pytestmark = pytest.mark.sipp

DEMO = [sys.executable, "-m", "server.demo", "--sip-port", "0", "--http-port", "0"]
NEWCOMERS = "2000"


async def start_demo(directory: Path, *options: str) -> asyncio.subprocess.Process:
    command = [*DEMO, "--state-dir", str(directory), *options]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)


async def test_the_demo_places_a_call_and_shows_what_became_of_it__issue_newcomer(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path, "--once")
    out, errors = await asyncio.wait_for(demo.communicate(), 60)
    text = out.decode()
    assert demo.returncode == 0, text + errors.decode()
    assert "All is well." in text
    assert "BAD" not in text
    for shown in ("INVITE", "183", "200", "BYE", "POST", "DialCallStatus", "RecordingUrl", "DialCallDuration"):
        assert shown in text, shown
    recording = re.search(r"The recording: (\S+\.wav)", text)
    assert recording is not None
    samples, rate_hz = sound.read_wav(Path(recording[1]))
    assert len(samples) > 2 * rate_hz
    assert errors.decode() == ""


async def until(demo: asyncio.subprocess.Process, text: bytes) -> str:
    """All that it said until then."""
    assert demo.stdout is not None
    seen = b""
    while text not in seen:
        line = await asyncio.wait_for(demo.stdout.readline(), 40)
        assert line, seen.decode()
        seen += line
    return seen.decode()


async def test_the_demo_can_be_called_as_it_says__issue_newcomer(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path, "--no-call")
    found = re.search(r"sipp -sn uac .*", await until(demo, b"Ctrl-C stops it."))
    assert found is not None
    null = asyncio.subprocess.DEVNULL
    sipp = await asyncio.create_subprocess_exec(*found[0].split(), "-timeout", "20s", cwd=tmp_path, stdin=null, stdout=null, stderr=null)
    status = await sipp.wait()
    demo.send_signal(signal.SIGINT)
    out, errors = await demo.communicate()
    assert status == 0, out.decode() + errors.decode()


@pytest.mark.parametrize("options", [("--no-call",), ()], ids=["no-call", "after-the-call"])
async def test_ctrl_c_ends_the_demo_and_leaves_nothing_running__issue_newcomer(tmp_path: Path, options: tuple[str, ...]) -> None:
    demo = await start_demo(tmp_path, *options)
    await until(demo, b"Ctrl-C stops it.")
    children = child_processes(demo.pid)
    assert children
    demo.send_signal(signal.SIGINT)
    await asyncio.wait_for(demo.communicate(), 20)
    assert demo.returncode == 0
    assert [pid for pid in children if is_alive(pid)] == []


async def test_ctrl_c_in_the_middle_of_the_demo_call_ends_it__issue_newcomer(tmp_path: Path) -> None:
    demo = await start_demo(tmp_path)
    await until(demo, b"answered after")
    demo.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(demo.communicate(), 20)
    assert b"Traceback" not in errors


async def test_the_readmes_application_works__readme(tmp_path: Path) -> None:
    """Its text as it stands, but for the two ports."""
    found = re.search(r"^ *```python\n(.*?)^ *```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    app_port = free_port("127.0.0.1")
    extra = f'\n[[numbers]]\nnumber = "{NEWCOMERS}"\nvoice_url = "http://127.0.0.1:{app_port}/voice"\n'
    server = ServerProcess(tmp_path / "server", extra, rtp_ports=ports.OWN_SERVER)
    await asyncio.to_thread(server.start)
    try:
        async with Application() as unused, Scene(server, unused, tmp_path) as scene:
            callee = await scene.called("callee_hangs_up", talk_ms=800)
            text = re.sub(r"^   ", "", found[1], flags=re.MULTILINE).replace("8000", str(app_port)).replace("5070", str(callee.port))
            (tmp_path / "app.py").write_text(text)
            pipe = asyncio.subprocess.PIPE
            program = await asyncio.create_subprocess_exec(sys.executable, "-u", str(tmp_path / "app.py"), stdout=pipe, stderr=pipe)
            try:
                await _listens(app_port)
                caller = await scene.calling("caller_waits", NEWCOMERS)
                await scene.through(caller, callee)
            finally:
                program.terminate()
                out, _ = await program.communicate()
        assert caller.statuses() == [180, 200]
        assert "DialCallStatus = completed" in out.decode()
        assert "RecordingUrl = http" in out.decode()
        await asyncio.to_thread(server.stop)
    finally:
        if server.process.poll() is None:
            server.kill()


async def _listens(port: int) -> None:
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError(f"nobody listens on {port}")
