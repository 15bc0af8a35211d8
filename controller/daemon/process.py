"""Starts a controller process. The hub is chosen here, before anything that waits is imported, and nowhere else."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from controller.daemon import green_threads
from controller.runtime.host_events import CONTROLLER_STARTED, CONTROLLER_STOPPED
from topology.errors import TunbridgeError

if TYPE_CHECKING:
    from controller.config.config import Config
    from controller.daemon.api_child import ApiChild
    from controller.daemon.supervision import SystemdNotifier
    from controller.network_api.http_services import HttpServices
    from controller.runtime.exposition import Exposition
    from topology.server.embedded_server import EmbeddedServer

LOG = logging.getLogger(__name__)

EXIT_OK, EXIT_REFUSED, EXIT_DIED = 0, 1, 70
"""Stopped by a signal; an error that a restart does not mend; a defect (EX_SOFTWARE of sysexits.h), which it does.

The second is what every command ends with after its one line of error, so the crash has the number of its own: Python's
own status after an exception that nobody caught is 1 too, which is why none gets that far.
"""


def choose_hub() -> None:
    """Green threads unless ``OSKEN_HUB_TYPE=native`` says otherwise; os-ken reads the variable when it is imported.

    To be called before :func:`run` and :func:`dry_run`, and early: eventlet searches all that is loaded for locks.
    """
    green_threads.may_come()
    if os.environ.setdefault("OSKEN_HUB_TYPE", "eventlet") == "eventlet":
        import eventlet

        eventlet.monkey_patch()


def run(config: Config, *, embedded: bool, with_api: bool) -> int:
    """Serve this host until SIGTERM or SIGINT.

    :param embedded: run the topology database too
    :param with_api: and the Network API, unless the configuration says no
    :returns: exit status: :data:`EXIT_OK` after a signal, :data:`EXIT_REFUSED` when another installation has this
        host's name or address, :data:`EXIT_DIED` when a part of it died
    :raises TunbridgeError: it could not be started
    :raises OSError: the machine did not let it start
    """
    faulthandler.enable()  # a supervisor whose watchdog was not fed sends SIGABRT: all stacks are on stderr then
    from controller.os_ken_apps import unused_parts
    from controller.runtime import logs

    if not config.os_ken_apps:
        unused_parts.defer()
    logs.configure(config.debug, config.log_file, config.log_json)
    try:
        return _serve(config, embedded=embedded, with_api=with_api)
    except (TunbridgeError, OSError):
        raise
    except Exception:
        LOG.exception("the controller died")
        return EXIT_DIED


def api(config: Config) -> int:
    """Serve the Network API alone, until SIGTERM or SIGINT.

    :returns: exit status, as of :func:`run`
    :raises TunbridgeError: it could not be started
    """
    os.environ["OSKEN_HUB_TYPE"] = "native"  # its HTTP server is one of asyncio, which does not go with green threads
    from controller.daemon.control_questions import ControlQuestions
    from controller.network_api.http_services import HttpServices
    from controller.runtime import garbage, logs
    from controller.runtime.exposition import Exposition
    from controller.status.control_client import call

    garbage.loaded()
    logs.configure(config.debug, config.log_file, config.log_json)
    ask = partial(call, config.control_socket)
    services = HttpServices(config, Exposition(), ask, with_api=True, host=ControlQuestions(config))
    services.listen()
    services.start()
    return serve_http(services)


def serve_http(services: HttpServices) -> int:
    """Have what was started serve until SIGTERM or SIGINT, then answer what has begun.

    :returns: exit status, as of :func:`run`
    """
    end_on_signals(services.workers.stop)
    try:
        return EXIT_OK if services.workers.wait() else EXIT_DIED
    finally:
        services.stop()


def topology(config: Config, server: EmbeddedServer) -> int:
    """Serve a topology database alone, and its metrics where ``[metrics]`` says, until SIGTERM or SIGINT.

    :param server: not started
    :returns: exit status, as of :func:`run`
    :raises TunbridgeError: it could not be started
    """
    from controller.runtime import logs

    logs.configure(config.debug, config.log_file, config.log_json)
    if config.metrics.listen_port is None:
        ended = threading.Event()
        end_on_signals(ended.set)
        server.start()
        try:
            ended.wait()
        finally:
            server.stop()
        return EXIT_OK
    services = _server_metrics(config)
    services.listen()
    server.start()
    try:
        services.start()
        return serve_http(services)
    finally:
        server.stop()


def _server_metrics(config: Config) -> HttpServices:
    os.environ["OSKEN_HUB_TYPE"] = "native"  # as of :func:`api`
    from controller.network_api.http_services import HttpServices
    from controller.runtime.exposition import Exposition
    from controller.status.control_client import call
    from controller.status.server_metrics import ServerMetrics
    from topology.server.running_server import RunningServer

    metrics = Exposition()
    metrics.add(ServerMetrics(lambda: RunningServer(config.state_path, config.run_path).status()).collect)
    return HttpServices(config, metrics, partial(call, config.control_socket), with_api=False)


def end_on_signals(end: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C end the process.

    :param end: is called where the program happens to be: it only sets a flag
    """

    def handle(_signal: int, _frame: FrameType | None) -> None:
        end()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def dry_run(config: Config, *, embedded: bool) -> list[str]:
    """What :func:`run` would change; see :func:`controller.dry_run.planned_changes.dry_run`.

    :raises TunbridgeError: it cannot be found out
    """
    from controller.dry_run import planned_changes
    from controller.runtime import logs

    logs.warn()
    return planned_changes.dry_run(config, embedded=embedded)


def _serve(config: Config, *, embedded: bool, with_api: bool) -> int:
    from controller.daemon.api_child import ApiChild
    from controller.daemon.supervision import SystemdNotifier
    from controller.runtime.exposition import Exposition

    notifier = SystemdNotifier.from_environment()  # whose address children must not have
    exposition = Exposition()
    with_api = with_api and config.api.enabled
    has_http = with_api or config.metrics.listen_port is not None
    child = ApiChild(config, with_api=with_api) if has_http else None
    if child is not None:
        child.launch()  # first: it loads its modules while this process loads its own
    try:
        return _serve_host(config, notifier, exposition, child, embedded=embedded)
    finally:
        if child is not None:
            child.stop()


def embedded_server(config: Config) -> EmbeddedServer:
    """The topology database server of this host, not started.

    :raises ConfigError: ``[topology] listen`` or the certificates cannot be used
    """
    from topology.server.embedded_server import EmbeddedServer

    given = config.topology
    return EmbeddedServer(config.state_path, config.run_path, given.listen, given.tls, host_rights=given.host_rights)


def _serve_host(
    config: Config, notifier: SystemdNotifier, exposition: Exposition, child: ApiChild | None, *, embedded: bool
) -> int:
    from os_ken.base.app_manager import AppManager

    from controller.config.api_options import NONE
    from controller.daemon.osken_app import Tunbridge
    from controller.daemon.supervision import READY, STOPPING, Supervision
    from controller.runtime import garbage
    from controller.runtime.workers import Workers
    from controller.status.host_metrics import HostMetrics
    from controller.status.traffic.drop_metrics import DropMetrics
    from controller.vswitch.adoption import rundir
    from controller.vswitch.controller_targets import targets
    from topology.database.host_scope import HostScope
    from topology.database.topology_database import TopologyDatabase

    garbage.expect_much(garbage.HOST)  # until it is in sync
    workers = Workers()
    end_on_signals(workers.stop)
    manager = AppManager.get_instance()
    scope = HostScope(config.host) if config.topology.is_partial else None
    app = manager.instantiate(
        Tunbridge,
        config=config,
        topology=TopologyDatabase(config.topology_connection, config.topology.tls, scope=scope),
        workers=workers,
        metrics=exposition.text,
    )
    server = embedded_server(config) if embedded else None
    exposition.add(HostMetrics(app.host).collect)
    if config.metrics.traffic != NONE and (folder := rundir(config.ovs.ovsdb_connection)) is not None:
        exposition.add(DropMetrics(app.host, folder, config.metrics.ports_told).collect)
    try:
        app.claim()
        if child is not None:
            child.listen()
        if server is not None:  # after the claim, since it may be another controller's; before anything asks for it
            server.start()
        app.start()
        if child is not None:
            child.start()
            workers.spawn("api process", child.supervise)
        target, *_ = targets(config.ovs, config.ovs.integration_bridge)
        where = config.topology_connection
        event = CONTROLLER_STARTED.of(host=config.host, openflow=target, topology=where)
        LOG.info("serving host %s: OpenFlow at %s, topology %s", config.host, target, where, extra=event)
        notifier.send(READY)
        if notifier.wanted:
            workers.spawn("supervision", Supervision(notifier, app.host, workers).run)
        alive = workers.wait()
    finally:
        notifier.send(STOPPING)
        workers.stop()
        if child is not None:
            child.stop()
        manager.uninstantiate(app.name)
        if server is not None:
            server.stop()
    LOG.info("host %s is left as it is: flows stay", config.host, extra=CONTROLLER_STOPPED.of(host=config.host))
    if alive:
        return EXIT_OK
    return EXIT_REFUSED if workers.refused else EXIT_DIED
