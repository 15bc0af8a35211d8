"""The controller is stopped and killed, at any moment and at chosen ones: traffic does not notice."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.lab.fault_lab import Churn, FaultLab
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.probe import Probe, Result

LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def lab() -> Iterator[FaultLab]:
    with FaultLab() as lab:
        lab.build()
        yield lab


def nothing_happened(result: Result) -> None:
    """Each frame arrived once.

    :raises AssertionError: it did not
    """
    assert (result.lost, result.duplicated, result.machine) == (0, 0, {}), result.table()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=lambda signum: signum.name)
def test_restart(lab: FaultLab, fault_report: FaultReport, signum: signal.Signals) -> None:
    """No frame is lost, no flow and no row of a bound port is written."""
    host = lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    with Probe(lab, lab.streams()) as probe:
        probe.wait_sent(200)
        lab.controller.stop(signum)
        probe.wait_sent(300)
        began = time.monotonic()
        lab.controller.start()
        full_sync = lab.settle(lab.controller) - began
        probe.wait_sent(200)
        result = probe.stop()
    nothing_happened(result)
    assert lab.tables(host) == tables
    assert lab.rows(host) == rows
    fault_report.add(f"controller {signum.name} and start", result, full_sync)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_kills_during_churn(lab: FaultLab, fault_report: FaultReport, kills: int) -> None:
    """After each of them the desired state holds; who stays keeps flows, tags and every frame."""
    seed = int(os.environ.get("TUNBRIDGE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    LOG.info("TUNBRIDGE_TEST_SEED=%d", seed)
    print(f"TUNBRIDGE_TEST_SEED={seed}")  # captured, and shown when it fails
    moments = random.Random(seed)
    controller, host = lab.controller, lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    slowest = 0.0
    with Probe(lab, lab.streams()) as probe:
        with Churn(lab, seed) as churn:
            for number in range(1, kills + 1):
                moment = moments.uniform(0, 1.5)  # it takes some second to start: every other kill hits it starting
                time.sleep(moment)
                controller.kill9()
                began = time.monotonic()
                controller.start()
                if number % 2 == 0:
                    with churn.paused():
                        slowest = max(slowest, lab.settle(controller) - began)
                        assert lab.rows(host) == rows
                LOG.info("kill %d of %d after %.2f s, %d changes", number, kills, moment, churn.changes)
        lab.settle(controller)
        result = probe.stop()
    nothing_happened(result)
    assert lab.tables(host) == tables
    assert lab.rows(host) == rows
    assert churn.changes > kills
    fault_report.add(f"{kills} kills at random, {churn.changes} devices plugged and unplugged", result, slowest)
