"""A fresh Open vSwitch for each test, and controllers on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, Network, new_network
from tests.support.host.tunbridge import HUBS, Tunbridge
from tests.support.openflow.sender_process import BRIDGE, SenderProcess, Settings, StartSender


@pytest.hookimpl(tryfirst=True)  # before the long ones are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("one_hub") and "native" in item.name and "OSKEN_HUB_TYPE" not in os.environ:
            item.add_marker(pytest.mark.long)


@pytest.fixture
def ovs(report_logs: list[Path]) -> Iterator[OvsHost]:
    """A host with a running Open vSwitch (dummy datapath) without bridges."""
    with OvsHost() as host:
        report_logs.extend(host.logs)
        yield host


@pytest.fixture(scope="module", params=[os.environ["OSKEN_HUB_TYPE"]] if "OSKEN_HUB_TYPE" in os.environ else HUBS)
def hub(request: pytest.FixtureRequest) -> str:
    """OSKEN_HUB_TYPE for the controller: each test runs on both, or on the one that the environment names."""
    return str(request.param)


@pytest.fixture
def tunbridge(ovs: OvsHost, hub: str, report_logs: list[Path]) -> Iterator[Callable[..., Tunbridge]]:
    """Starts a controller on ``ovs``: call it, with the arguments of :class:`Tunbridge` if need be."""
    with ExitStack() as stack:

        def start(**arguments: Any) -> Tunbridge:
            controller = Tunbridge(ovs, hub=hub, **arguments)
            report_logs.append(controller.log)
            return stack.enter_context(controller)

        yield start


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Host]:
    """One host for all tests of a file; each has networks, ports and devices of its own."""
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub) as controller:
        controller.wait_in_sync()
        yield Host(ovs, controller)


@pytest.fixture
def network(host: Host, report_logs: list[Path]) -> Network:
    """A network of one test on that host."""
    report_logs += [host.tunbridge.log, *host.ovs.logs]
    network = new_network()
    host.add_networks(network)
    return network


@pytest.fixture
def start_sender(ovs: OvsHost, hub: str) -> Iterator[StartSender]:
    """Starts a sender and connects a bridge to it; its arguments are those of :class:`Settings`.

    ``through``: makes a TCP port that leads to that of the sender, for the bridge to connect to.
    """
    with ExitStack() as stack:

        def started(through: Callable[[int], int] = lambda port: port, **settings: float) -> SenderProcess:
            sender = stack.enter_context(SenderProcess(hub, ovs.directory, Settings(**settings)))
            ovs.vsctl(
                *("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "fail_mode=secure", "protocols=OpenFlow13"),
                *("--", "set-controller", BRIDGE, f"tcp:127.0.0.1:{through(sender.port)}"),
                *("--", "set", "controller", BRIDGE, "connection_mode=out-of-band", "max_backoff=1000"),
                "inactivity_probe=60000",
            )
            return sender

        yield started
