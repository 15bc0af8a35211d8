"""What ``tunbridge run`` or ``tunbridge controller`` would change on this host, found out without changing anything.

No row is written, no flow is sent, no bridge gets a controller, nothing is registered or made in ``run_path`` and
``state_path``, and no lock is taken: it may run beside a controller that serves the host.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from apps.framework.cookie import OTHERS_MASK, others_cookie
from apps.framework.pipeline import BridgeRole, is_for_others
from controller.agent import settings
from controller.agent.patches import roles
from controller.agent.restore.host_identity import known_installation_id
from controller.agent.restore.restore_guard import SavedState
from controller.agent.restore.state_file import FILE, StateFileError, load
from controller.agent.security.port_filters import PortFilters
from controller.config.config import Config
from controller.dry_run.simulated_host import SimulatedHost
from controller.openflow.channel.openflow_client import BridgeState, read_bridge
from controller.openflow.tables.app_flows import IsOfApp
from controller.status.host_status import flow_diff
from controller.vswitch.adoption import rundir
from controller.vswitch.bridge_proof import KEY
from controller.vswitch.bridge_setup import WantedBridges
from topology.database.topology_database import DATABASE, TopologyDatabase
from topology.errors import OpenFlowError, TopologyError, VSwitchUnavailable
from topology.ovsdb.obstacle import obstacle
from topology.ovsdb.one_shot import followed
from topology.server import cluster_file
from topology.server.database_file import is_clustered
from topology.server.embedded_server import EmbeddedServer

LOG = logging.getLogger(__name__)

_TIMEOUT = 10.0
"""Seconds that each database has to answer."""

_RUNDIR = "/var/run/openvswitch"
"""Where Open vSwitch has its sockets, as far as its database's own place does not say."""

_NEW = "(new)"
"""Stands for what is made at random."""

_SERIAL = re.compile(rf"(other_config:{KEY}=)\S+")
"""A serial number that a bridge is given: made at random, and a secret."""


def dry_run(config: Config, *, embedded: bool) -> list[str]:
    """What would change, under a heading for each database and each bridge.

    Lines of a database begin with ``+`` or ``-`` and name a row; those of a bridge are flows in ``ovs-ofctl`` syntax. A
    port that Open vSwitch has yet to number stands there with its name.

    :param embedded: the topology is that of the embedded database
    :returns: nothing when there is nothing to do
    :raises TunbridgeError: something does not answer, or the host cannot be served like this
    """
    with ExitStack() as stack:
        connection = stack.enter_context(_embedded(config)) if embedded else config.topology_connection
        database = TopologyDatabase(connection, config.topology.tls)
        vswitch = settings.vswitch(config)
        topology = stack.enter_context(followed(database, _TIMEOUT, f"database {DATABASE}")).first
        local = stack.enter_context(followed(vswitch, _TIMEOUT, "database Open_vSwitch", VSwitchUnavailable)).first
        names = settings.names(config)
        present = vswitch.attempt(WantedBridges(None)).present.intersection(names.bridges)
        installed = {name: _read(config, name, local.datapaths.get(name)) for name in sorted(present)}
        try:
            saved = load(Path(config.state_path) / FILE)
        except StateFileError as error:
            LOG.warning("%s; a start gives it another name and begins a new one", error)
            saved = SavedState()
        simulated = SimulatedHost(
            names,
            settings.tunnel_options(config),
            vswitch.attempt,
            local,
            topology,
            installed,
            saved,
            config.applications,
            PortFilters(config.securitygroup.unenforced),
            config.apps.apps,
        )
        simulated.run()
        instance = known_installation_id(config.state_path)
        host = settings.this_host(config, instance or str(uuid.uuid4()))
        registered = database.preview(host, simulated.reports.values(), simulated.write_back)
        if instance is None:
            registered = [line.replace(host.instance, _NEW) for line in registered]
        local_lines = vswitch.preview(simulated.wanted, simulated.tags)
        sections = {
            f"Open_vSwitch at {vswitch.connection}": [_SERIAL.sub(rf"\1{_NEW}", line) for line in local_lines],
            f"{DATABASE} at {config.topology_connection}": registered,
        }
        shared = {name for name, role in roles(names).items() if role is BridgeRole.PHYSICAL}
        for name, desired in simulated.flows.items():
            dumped = installed[name].flows if name in installed else ()
            lines = flow_diff(desired, dumped, keeps_foreign=name in shared, is_of_app=_named(config.os_ken_apps))
            sections[f"bridge {name}"] = [_with_names(line, simulated.new_ports) for line in lines]
    return [line for heading, lines in sections.items() if lines for line in (f"{heading}:", *lines)]


def _named(modules: Sequence[str]) -> IsOfApp:
    """Flows of applications that a start would load, as far as that can be known."""
    cookies = {others_cookie(module) for module in modules}
    return lambda table, priority, cookie: is_for_others(table, priority) and cookie & OTHERS_MASK in cookies


@contextmanager
def _embedded(config: Config) -> Iterator[str]:
    """A server of a copy of the embedded topology database's file, which may be in use meanwhile.

    :returns: the connection method
    :raises TopologyError: the file cannot be used
    """
    with tempfile.TemporaryDirectory(prefix="tunbridge-") as directory:
        file = Path(config.state_path) / "topology.db"
        try:
            if file.exists():
                shutil.copyfile(file, Path(directory) / file.name)
                if is_clustered(file):  # whose copy must not pose as the member itself
                    cluster_file.to_standalone(directory, Path(directory) / file.name)
        except OSError as error:
            raise TopologyError(f"topology database {file} cannot be read: {error.strerror}") from None
        server = EmbeddedServer(directory, directory)
        try:
            server.start()
        except TopologyError as error:
            raise TopologyError(str(error).replace(directory, config.state_path)) from None
        try:
            yield server.connection
        finally:
            server.stop()


def _read(config: Config, bridge: str, datapath_id: int | None) -> BridgeState:
    """What a bridge has.

    :param datapath_id: as the local OVSDB has it
    """
    connection = config.ovs.ovsdb_connection
    path = (rundir(connection) or Path(_RUNDIR)) / f"{bridge}.mgmt"
    try:
        state = read_bridge(path, config.ovs.of_request_timeout)
    except OpenFlowError as error:
        raise OpenFlowError(f"the flows of bridge {bridge} cannot be read: {error}{obstacle(f'unix:{path}')}") from None
    if state.datapath_id != datapath_id:
        raise OpenFlowError(
            f"the flows of bridge {bridge} cannot be read: {path} is of another Open vSwitch than the database at "
            f"{connection}"
        )
    return state


def _with_names(line: str, ports: Mapping[int, str]) -> str:
    """A flow with the names of ports that have no number yet, as ``ovs-ofctl --names`` has it."""

    def named(found: re.Match[str]) -> str:
        name = ports.get(int(found[2]))
        return found[0] if name is None else f'{found[1]}"{name}"'

    return re.sub(r"\b(in_port=|output:)(\d+)\b", named, line)
