"""SipDriver on uvloop, on which the server runs; the other tests of this folder have the loop of asyncio."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.driver import test_connections, test_real_core, test_sip_driver

pytestmark = pytest.mark.driver


@pytest.mark.parametrize(
    "test",
    [
        lambda: test_sip_driver.test_icmp_error_is_a_failed_transmit__rfc3261_18_4("127.0.0.1"),
        lambda: test_sip_driver.test_icmp_error_is_a_failed_transmit__rfc3261_18_4("::1"),
        test_sip_driver.test_what_cannot_be_sent_by_udp_is_a_failed_transmit,
        test_sip_driver.test_burst_of_datagrams_arrives_whole_and_in_order,
        lambda: test_connections.test_accepted_connection("::1"),
        test_connections.test_close_connection_sends_what_was_written_first,
        lambda: test_connections.test_connection_is_opened_once_and_queued_octets_go_in_order("127.0.0.1"),
        test_connections.test_refused_connection_is_one_failed_transmit,
        test_connections.test_connection_that_nobody_accepts_times_out,
        test_connections.test_peer_that_does_not_read_is_dropped,
        test_connections.test_connections_are_limited,
        test_sip_driver.test_timer_fires_at_the_deadline_and_not_before,
        test_sip_driver.test_stop_closes_connections_and_tells_the_core,
        lambda: test_real_core.test_call_from_invite_to_bye("udp", "127.0.0.1"),
        lambda: test_real_core.test_call_from_invite_to_bye("tcp", "::1"),
    ],
)
def test_it_works_on_uvloop_too(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(test())
