"""The topology database is restored from a backup that knows none of the VMs that run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.lab.fault_lab import FaultLab, undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.probe import Probe
from tests.support.lab.secured_lab import SecuredFaultLab
from tests.support.waiting import wait_until


class BackedUpLab(FaultLab):
    """A lab with a backup from before its networks were there."""

    @property
    def database(self) -> Path:
        return self.directory / "topology" / "topology.db"

    @property
    def backup(self) -> Path:
        return self.directory / "topology.backup"

    def apply(self) -> None:
        older = self.directory / "older.yaml"
        older.write_text(yaml.safe_dump({"networks": [{"name": "of an hour ago"}]}))
        self.apply_document(older)
        self.before_backup()
        shutil.copy(self.database, self.backup)
        super().apply()

    def before_backup(self) -> None:
        """Put into the database what the backup has too: nothing."""

    def wait_remembered(self) -> None:
        """Wait until each controller has on disk what is bound on its host."""
        for controller in self.controllers.values():
            vms = [vm for vm in self.vms.values() if vm.host is controller.host]
            wait_until(
                lambda file=controller.directory / "state" / "remembered.json", vms=vms: all(  # type: ignore[misc]
                    f'"{vm.nic.port_id}"' in file.read_text() for vm in vms
                ),
                20,
                f"{controller.host} remembers its ports",
            )


class SecuredBackedUpLab(SecuredFaultLab, BackedUpLab):
    """The backup has the groups with their rules, and none of the ports that have them."""

    def before_backup(self) -> None:
        self.make_groups()

    def secure_ports(self) -> None:
        self.give_groups()


LABS = [
    pytest.param(BackedUpLab, id="switched"),
    pytest.param(SecuredBackedUpLab, id="secured", marks=pytest.mark.long),
]


@pytest.fixture(params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[BackedUpLab]:
    with request.param() as lab:
        lab.build()
        yield lab


@pytest.mark.parametrize("restarted", [False, True], ids=["controllers run", "controllers start with it"])
def test_restored(lab: BackedUpLab, fault_report: FaultReport, restarted: bool) -> None:
    """No frame is lost, no flow and no row of a port changes; both hosts write back what they carry."""
    staying = [vm for vms in lab.staying.values() for vm in vms]
    expected = {vm.nic.port_id: ("ACTIVE", vm.host.name) for vm in staying if vm.host is not None}
    hosts = list(lab.hosts.values())
    wait_until(lambda: expected.items() <= lab.port_states().items(), 20, lambda: f"{lab.port_states()}")
    lab.wait_remembered()
    before = [(lab.tables(host), lab.rows(host)) for host in hosts]
    with Probe(lab, lab.streams()) as probe:
        lab.stop_topology()
        if restarted:
            for controller in lab.controllers.values():
                controller.kill9()
        shutil.copy(lab.backup, lab.database)
        began = time.monotonic()
        lab.start_topology()
        if restarted:
            for controller in lab.controllers.values():
                controller.start()
        for controller in lab.controllers.values():
            controller.wait_log("holds an older copy")
        wait_until(lambda: expected.items() <= lab.port_states().items(), 30, lambda: f"{lab.port_states()}")
        full_sync = max(lab.settle(controller) for controller in lab.controllers.values()) - began
        probe.wait_sent(500)
        result = probe.stop()
    undisturbed(result)
    assert [(lab.tables(host), lab.rows(host)) for host in hosts] == before
    what = "topology database restored from a backup" + (" while controllers were down" if restarted else "")
    fault_report.add(f"{what}{lab.variant}", result, full_sync)
