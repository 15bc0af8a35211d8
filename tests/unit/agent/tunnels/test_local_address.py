"""Whether an address is one of this machine, asked of the real kernel."""

from __future__ import annotations

import threading

import pytest
from os_ken.lib import hub

from controller.agent.tunnels.local_address import LocalAddressWatch, lacks
from tests.support.waiting import wait_until

DEVICE = "lo"
"""A device that is there, as a bridge is where Open vSwitch has the network of this machine."""


@pytest.mark.parametrize(
    ("address", "device", "answer"),
    [
        ("127.0.0.1", DEVICE, False),
        ("192.0.2.77", DEVICE, True),
        ("2001:db8::77", DEVICE, True),
        ("192.0.2.77", "br-elsewhere", None),
        ("127.0.0.1", "br-elsewhere", None),
    ],
)
def test_the_kernel_knows_where_open_vswitch_has_its_network(address: str, device: str, answer: bool | None) -> None:
    assert lacks(address, device) is answer


def test_no_other_error_is_taken_for_a_missing_address() -> None:
    """An address that needs an interface beside it cannot be bound, and may be there all the same."""
    assert lacks("fe80::1", DEVICE) is False


@pytest.mark.skipif(hub.HUB_TYPE != "native", reason="the worker here runs in a native thread")
def test_only_news_is_told() -> None:
    told: list[bool] = []
    missing = LocalAddressWatch("192.0.2.77", DEVICE, told.append)
    present = LocalAddressWatch("127.0.0.1", DEVICE, told.append)
    without = LocalAddressWatch(None, DEVICE, told.append)
    threads = [threading.Thread(target=watch.run) for watch in (missing, present, without)]
    for thread in threads:
        thread.start()
    wait_until(lambda: told == [True], 20, "the address that is missing is told")
    for watch in (missing, present, without):
        watch.wake()
        watch.stop()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert told == [True]
