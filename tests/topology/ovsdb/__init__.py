"""A real ovsdb-server with an empty topology database, for one test."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.waiting import wait_until
from topology.database.topology_database import DATABASE, SCHEMA
from topology.server.ovsdb_tools import find_program


class OvsdbServer:
    """An ovsdb-server that can be stopped, killed and started again; as a context manager it leaves nothing behind."""

    def __init__(self) -> None:
        # Not pytest's tmp_path: unix sockets have short paths only.
        self.directory = Path(tempfile.mkdtemp(prefix="topology-", dir="/tmp"))
        self.file = self.directory / "topology.db"
        self.socket = self.directory / "s"
        self.connection = f"unix:{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        subprocess.run(["ovsdb-tool", "create", self.file, SCHEMA], check=True)

    def __enter__(self) -> OvsdbServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.directory)

    def start(self, *options: str) -> OvsdbServer:
        """Start it and wait until it answers.

        :param options: more of them
        """
        self.process = subprocess.Popen(
            [
                find_program("ovsdb-server"),
                str(self.file),
                f"--remote=punix:{self.socket}",
                f"--unixctl={self.directory / 'ctl'}",
                "--no-chdir",
                "-vconsole:off",
                "-vsyslog:off",
                *options,
            ]
        )
        wait_until(self._answers, 10, "ovsdb-server answers")
        return self

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def transact(self, *operations: dict[str, Any]) -> list[Any]:
        """Write rows by hand, as ``ovsdb-client transact`` does; the results of the operations."""
        done = subprocess.run(
            ["ovsdb-client", "transact", self.connection, json.dumps([DATABASE, *operations])],
            check=True,
            capture_output=True,
            text=True,
        )
        results: list[Any] = json.loads(done.stdout)
        return results

    def write(self, *operations: dict[str, Any]) -> list[Any]:
        """:meth:`transact`, which must succeed."""
        results = self.transact(*operations)
        assert all("error" not in (result or {"error": "not reached"}) for result in results), results
        return results

    def rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """All rows of a table, sorted by the columns."""
        [result] = self.write({"op": "select", "table": table, "where": [], "columns": list(columns)})
        return sorted(result["rows"], key=lambda row: json.dumps(row, sort_keys=True))

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True


def network_operations(
    network_id: str, *, name: str = "", number: int = 1, subnet_id: str | None = None, cidr: str = "10.0.0.0/24"
) -> list[dict[str, Any]]:
    """Operations that insert a GRE network, with a subnet or without."""
    subnets: list[Any] = []
    operations: list[dict[str, Any]] = [
        {
            "op": "insert",
            "table": "Segment",
            "uuid-name": "segment",
            "row": {"network_type": "gre", "segmentation_id": number},
        }
    ]
    if subnet_id is not None:
        operations.append(
            {"op": "insert", "table": "Subnet", "uuid-name": "subnet", "row": {"id": subnet_id, "cidr": cidr}}
        )
        subnets = [["named-uuid", "subnet"]]
    row = {
        "id": network_id,
        "name": name,
        "network_type": "gre",
        "admin_state_up": True,
        "segments": ["named-uuid", "segment"],
        "subnets": ["set", subnets],
    }
    return [*operations, {"op": "insert", "table": "Network", "uuid-name": "network", "row": row}]


def port_operation(port_id: str, network: list[str], mac_address: str, **columns: Any) -> dict[str, Any]:
    """An operation that inserts a port.

    :param network: reference to the row of its network
    """
    row = {"id": port_id, "network": network, "mac_address": mac_address, "status": "DOWN", "admin_state_up": True}
    return {"op": "insert", "table": "Port", "row": {**row, **columns}}
