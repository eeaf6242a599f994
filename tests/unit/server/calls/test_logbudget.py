"""A flood of strangers writes a bounded log, and says what it left out."""

from __future__ import annotations

from server.calls.logbudget import LINES_PER_WINDOW, WINDOW_S, LogBudget


def test_a_flood_writes_so_many_lines_and_then_how_many_were_left_out__issue_bad_input() -> None:
    budget = LogBudget()
    flood = [budget.spend("warning", "call_refused", {"peer": "x"}, 100.0 + n / 1000) for n in range(3000)]
    assert sum(map(len, flood)) == LINES_PER_WINDOW
    (line,) = budget.spend("warning", "call_refused", {"peer": "y"}, 100.0 + WINDOW_S)
    assert line.facts == {"peer": "y", "suppressed": 3000 - LINES_PER_WINDOW}
    (line,) = budget.spend("warning", "call_refused", {"peer": "z"}, 101.0 + WINDOW_S)
    assert line.facts == {"peer": "z"}


def test_each_kind_of_line_has_its_own_budget__issue_bad_input() -> None:
    budget = LogBudget()
    for n in range(LINES_PER_WINDOW + 1):
        budget.spend("warning", "sip_dropped", {}, 100.0 + n / 1000)
    assert budget.spend("warning", "sip_dropped", {}, 101.0) == []
    assert len(budget.spend("warning", "call_refused", {}, 101.0)) == 1
