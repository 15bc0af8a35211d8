"""Starts a controller process. The hub is chosen here, before anything that waits is imported, and nowhere else."""

from __future__ import annotations

import logging
import os
import signal
from types import FrameType
from typing import TYPE_CHECKING

from controller.config import Config

if TYPE_CHECKING:
    from topology.ovsdb.server import EmbeddedServer

LOG = logging.getLogger(__name__)

EXIT_OK, EXIT_DIED = 0, 1


def _choose_hub() -> None:
    """Green threads unless ``OSKEN_HUB_TYPE=native`` says otherwise; os-ken reads the variable when it is imported."""
    if os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet") == "eventlet":
        import eventlet

        eventlet.monkey_patch()


def _embedded_server(config: Config) -> EmbeddedServer:
    from topology.ovsdb.server import EmbeddedServer

    return EmbeddedServer(config.state_path, config.run_path, config.topology.listen)


def run(config: Config, *, embedded: bool) -> int:
    """Serve this host until SIGTERM or SIGINT.

    :param embedded: run the topology database too
    :returns: exit status: 0 after a signal, 1 when a worker died
    :raises TunbridgeError: it could not be started
    """
    _choose_hub()
    from os_ken.base.app_manager import AppManager

    from controller import logs
    from controller.app import Tunbridge
    from controller.workers import Workers
    from topology.ovsdb.database import TopologyDatabase

    logs.configure(config.debug, config.log_file)
    workers = Workers()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        workers.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    manager = AppManager.get_instance()
    app = manager.instantiate(
        Tunbridge, config=config, topology=TopologyDatabase(config.topology_connection), workers=workers
    )
    server = _embedded_server(config) if embedded else None
    try:
        app.claim()
        if server is not None:  # after the claim, since it may be another controller's; before anything asks for it
            server.start()
        app.start()
        LOG.info("serving host %s: OpenFlow at %s:%d, topology %s", config.host, config.ovs.of_listen_address,
                 config.ovs.of_listen_port, config.topology_connection)  # fmt: skip
        alive = workers.wait()
    finally:
        workers.stop()
        manager.uninstantiate(app.name)
        if server is not None:
            server.stop()
    LOG.info("host %s is left as it is: flows stay", config.host)
    return EXIT_OK if alive else EXIT_DIED
