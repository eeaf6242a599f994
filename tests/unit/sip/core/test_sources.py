"""What is remembered of addresses, for how many of them, and what counts as one (RFC 3261 26.1.5, RFC 5952 2)."""

from __future__ import annotations

import pytest

from sip.core.sources import Budget, Sources, network_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::5", "2001:db8:1:2:3:4:5:6", True),
        ("2001:db8:1:2::5", "2001:db8:1:3::5", False),
        ("2001:db8::1", "2001:db8:0:0:8000::1", True),
        ("2001:db8:1::5", "2001:db8:1:0:ffff::6", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:db8:1::1", False),
        ("::1", "::2:0:0:0:1", False),  # every text that begins with :: was one network
        ("::ffff:198.51.100.66", "::ffff:198.51.100.67", False),
        ("::ffff:198.51.100.66", "198.51.100.66", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_a_64_is_one_however_its_zeros_are_written__rfc5952_2(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_a_budget_fills_again() -> None:
    budget = Budget(2, 0.0)
    assert [budget.spend(2, at) for at in (0.0, 0.0, 0.0, 0.4, 0.5, 0.5, 9.0, 9.0, 9.0)] == [
        *(True, True, False),
        *(False, True, False),
        *(True, True, False),
    ]


def test_who_has_asked_longest_ago_is_forgotten_first() -> None:
    sources = Sources(2, lambda now: [now])
    assert sources.of("192.0.2.1", 1.0) == [1.0]
    sources.of("192.0.2.2", 2.0)
    assert sources.of("192.0.2.1", 3.0) == [1.0]
    assert sources.of("192.0.2.3", 4.0) == [4.0]
    assert (len(sources), sources.find("192.0.2.2"), sources.find("192.0.2.1")) == (2, None, [1.0])
