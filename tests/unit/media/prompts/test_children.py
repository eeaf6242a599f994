"""Helper processes: asked and answered by lines, killed when they fail, and none left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from media.prompts.children import ChildFailed, ChildPool
from tests.support.processes import is_there

PROGRAM = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    match request["do"]:
        case "crash": os.kill(os.getpid(), 11)
        case "exit": sys.exit(4)
        case "hang": time.sleep(60)
        case "babble": print("not json", flush=True)
        case "list": print("[]", flush=True)
        case "flood": print("x" * 200000, flush=True)
        case _: print(json.dumps({"pid": os.getpid(), "path": sys.path[0], "echo": request["do"]}), flush=True)
"""

Make = Callable[[int], ChildPool]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    program = tmp_path / "child.py"
    program.write_text(PROGRAM)
    pools: list[ChildPool] = []

    def build(size: int) -> ChildPool:
        pools.append(ChildPool(program, size))
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()


async def test_a_child_is_kept_and_used_again(make: Make) -> None:
    pool = make(1)
    answers = [await pool.ask({"do": word}, 5) for word in ("ä\n", "b")]
    assert [answer["echo"] for answer in answers] == ["ä\n", "b"]
    assert answers[0]["pid"] == answers[1]["pid"]


async def test_it_does_not_import_from_where_the_program_or_the_server_stands(make: Make, tmp_path: Path) -> None:
    answer = await make(1).ask({"do": "x"}, 5)
    assert answer["path"] not in (str(tmp_path), "", str(Path.cwd()))


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("crash", "signal 11"),
        ("exit", "status 4"),
        ("hang", r"within 0\.3 s"),
        ("babble", "nonsense"),
        ("list", "nonsense"),
        ("flood", "limit"),
    ],
)
async def test_a_child_that_fails_fails_its_request_and_the_next_is_served(make: Make, what: str, words: str) -> None:
    pool = make(1)
    first = (await pool.ask({"do": "x"}, 5))["pid"]
    with pytest.raises(ChildFailed, match=words):
        await pool.ask({"do": what}, 0.3 if what == "hang" else 5)
    assert not is_there(first)
    assert (await pool.ask({"do": "y"}, 5))["pid"] != first


async def test_no_more_children_than_allowed(make: Make) -> None:
    pool = make(2)
    answers = await asyncio.gather(*(pool.ask({"do": str(number)}, 10) for number in range(8)))
    assert [answer["echo"] for answer in answers] == [str(number) for number in range(8)]
    assert len({answer["pid"] for answer in answers}) <= 2


async def test_a_cancelled_request_takes_its_child_along(make: Make) -> None:
    pool = make(1)
    pid = (await pool.ask({"do": "x"}, 5))["pid"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.ask({"do": "hang"}, 60), 0.2)
    assert not is_there(pid)


async def test_closing_ends_all(make: Make) -> None:
    pool = make(2)
    pids = [(await pool.ask({"do": "x"}, 5))["pid"]]
    hanging = asyncio.create_task(pool.ask({"do": "hang"}, 60))
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises(ChildFailed):
        await hanging
    assert not any(is_there(pid) for pid in pids)
    with pytest.raises(ChildFailed, match="closed"):
        await pool.ask({"do": "x"}, 5)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    pool = ChildPool(tmp_path / "missing.py", 1)
    with pytest.raises(ChildFailed):
        await pool.ask({}, 5)
    await pool.close()
