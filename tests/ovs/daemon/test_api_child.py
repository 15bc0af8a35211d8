"""The child of ``tunbridge run`` that serves HTTP: what it tells, its death, its parent's death."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.status.metrics_catalogue import catalogue
from tests.support import reference
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import Client
from tests.support.http.tokens import write_tokens
from tests.support.waiting import wait_until

Start = Callable[..., Tunbridge]


def healthy(api: Client) -> bool:
    with contextlib.suppress(OSError):
        return api.request("GET", "/healthz").status == 200
    return False


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_metrics_of_both_processes_at_both_addresses(tunbridge: Start) -> None:
    """Each metric once; of a process as such, those of the controller."""
    api, own = free_tcp_port(), free_tcp_port()
    metrics = {"listen_port": own, "traffic": "ports"}
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": api}, "metrics": metrics})
    controller.wait_in_sync()
    wait_until(lambda: healthy(Client(api)), 20, "the API answers")
    told = {part: metrics for part, metrics in catalogue().items() if part != "topology server"}
    declared = {metric.name for metrics in told.values() for metric in metrics}
    for port in (api, own):
        scrape = Scrape(port)
        assert scrape.types.keys() == declared
        assert scrape.value("tunbridge_controller_responding") == 1
        assert scrape.value("tunbridge_api_topology_connected") == 1
    started = scrape.value("process_start_time_seconds")
    before = float(Path(f"/proc/{controller.pid}/stat").read_text().rpartition(")")[2].split()[19])
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    assert abs(started - (booted + before / os.sysconf("SC_CLK_TCK"))) < 2


def test_its_death_disturbs_no_binding(ovs: OvsHost, tunbridge: Start) -> None:
    """It is logged, the API is there again after a pause, and a device that is plugged meanwhile comes up."""
    api = Client(free_tcp_port())
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": api.port}})
    controller.apply(reference.DOCUMENT)
    first = controller.api_pid()
    os.kill(first, signal.SIGKILL)
    ovs.plug_many([reference.VM])
    controller.wait_device(reference.VM.name, status="ACTIVE")
    controller.wait_log("the process of the Network API has ended with status -9, starting it again in 0.1 s")
    wait_until(lambda: healthy(api), 30, lambda: f"it answers again\n{controller.log_tail()}")
    assert controller.api_pid() not in (0, first)
    assert api.request("GET", "/v2.0/ports").status == 200


def test_it_ends_with_a_parent_that_is_killed(tunbridge: Start) -> None:
    api = Client(free_tcp_port())
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": api.port}}, check=False)
    child = wait_until(controller.api_pid, 60, "the child has been started")
    controller.kill9()
    wait_until(lambda: not runs(child), 20, "the child ends too")
    assert "the controller has ended, and so does its Network API" in controller.log_text()


def test_sigterm_ends_both_soon(tunbridge: Start) -> None:
    """Also while a client has a connection, and a scraper too."""
    api = Client(free_tcp_port())
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": api.port}})
    child = controller.api_pid()
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536)  # answered, and open for more
        assert controller.stop() == 0
    assert not runs(child)


def test_it_has_the_same_log_and_the_same_answers_to_bad_files(ovs: OvsHost, hub: str, tmp_path: Path) -> None:
    """A file of tokens that cannot be used ends a start with one line, and before it touches the switch."""
    tokens = write_tokens(tmp_path / "tokens.yaml")
    tokens.chmod(0o644)
    own = {"enabled": "true", "listen_port": free_tcp_port(), "auth_strategy": "token", "token_file": tokens}
    controller = Tunbridge(ovs, hub=hub, options={"api": own, "DEFAULT": {"log_file": tmp_path / "log"}})
    try:
        controller.command("run", statuses=(1,))
        assert ovs.vsctl("list-br") == ""
        tokens.chmod(0o640)
        controller.start()
        wait_until(
            lambda: "controller.network_api.http_services the Network API answers at" in (tmp_path / "log").read_text(),
            20,
            "its lines are in the log of its parent",
        )
    finally:
        assert not controller.end()


@pytest.mark.one_hub
def test_metrics_without_an_api(tunbridge: Start) -> None:
    """A host whose API is elsewhere tells of itself, and of nothing else."""
    port = free_tcp_port()
    controller = tunbridge(options={"metrics": {"listen_port": port}})
    controller.wait_in_sync()
    assert not any(name.startswith("tunbridge_api_") for name in Scrape(port).types)
    assert Client(port).request("GET", "/v2.0/networks").status == 404
