"""What the benchmark of calls makes of what SIPp and the sampler say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.load.calls import Load, at, complaint, last_row, response_times
from tests.load.overload import Outcome, times
from tests.load.sampler import place


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/sip/message/parser.py", "sip: parse and build"),
        ("/x/sip/core/endpoint.py", "sip: core"),
        ("/x/sip/transport/udp.py", "driver and udp"),
        ("/x/media/sdp/description.py", "sdp"),
        ("/x/media/worker_client.py", "worker protocol"),
        ("/x/server/observability/redaction.py", "timeline and redaction"),
        ("/v/site-packages/sqlalchemy/engine/base.py", "storage"),
        ("/usr/lib/python3.11/logging/__init__.py", "log"),
        ("/usr/lib/python3.11/json/decoder.py", ""),  # its callers decide
    ],
)
def test_time_belongs_to_the_subsystem_whose_file_it_is_spent_in(path: str, name: str) -> None:
    assert place(path) == name


def test_a_load_is_good_when_every_call_succeeded_at_the_rate_and_nothing_was_sent_twice() -> None:
    assert Load(50, 100, 100, 0, 49.0, []).good
    for bad in (Load(50, 100, 99, 0, 49.0, []), Load(50, 100, 100, 1, 49.0, []), Load(50, 100, 100, 0, 40.0, [])):
        assert not bad.good


def test_quantiles() -> None:
    assert (at([1, 2, 3, 4], 0.5), at([1, 2, 3, 4], 0.99), at([7], 0.0)) == (3, 4, 7)
    assert math.isnan(at([], 0.5))


def test_what_sipp_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "caller.csv").write_text("StartTime;SuccessfulCall(C);Retransmissions(C);\nx;1;0;\nx;5;2;\n")
    assert last_row(tmp_path / "caller.csv")["SuccessfulCall(C)"] == "5"
    assert last_row(tmp_path / "none.csv") == {}
    (tmp_path / "caller_1_rtt.csv").write_text("Date_ms;response_time_ms;rtd_no\n1;8.0;1\n2;4.0;1\n3;99.0;2\n")
    assert response_times(tmp_path, "1") == [4.0, 8.0]
    (tmp_path / "caller.errors").write_text(
        "while expecting '183' (index 3), received 'SIP/2.0 503 Service Unavailable\r\nReason: SIP;cause=503;text=\"No media\"\r\n"
    )
    assert complaint(tmp_path / "caller.errors") == "503 Service Unavailable: No media"


def test_goodput_counts_what_was_whole_in_time_and_the_rest_was_told_to_come_later(tmp_path: Path) -> None:
    outcome = Outcome(100.0, 10.0, 1000, 400, 50, 5, 0, [4.0, 8.0], 90.0, 100.0)
    assert outcome.goodput == 40
    assert " 50 late  545 told to come later  5 failed " in outcome.line()
    (tmp_path / "caller_or_busy_1_rtt.csv").write_text("Date_ms;response_time_ms;rtd_no\n1000;8.0;1\n1300;4.0;2\n")
    assert (times(tmp_path, "1"), times(tmp_path, "2")) == ([(1000.0, 8.0)], [(1300.0, 4.0)])
