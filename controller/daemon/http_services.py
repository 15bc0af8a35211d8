"""All that one process answers over HTTP: the Network API, and metrics at an address of their own."""

from __future__ import annotations

import signal
from types import FrameType

from controller.config.config import Config
from controller.network_api.api_service import ApiService
from controller.network_api.metrics_service import MetricsService
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers


class HttpServices:
    """What group ``[metrics]`` says, and group ``[api]`` too.

    :param with_api: whether there is a Network API
    :param metrics: of this process; those of the API are added
    :raises ConfigError: certificates, tokens or what tells callers apart cannot be used
    """

    def __init__(self, config: Config, metrics: Exposition, *, with_api: bool) -> None:
        self.workers = Workers()
        self._api = ApiService(config, self.workers, metrics) if with_api else None
        self._metrics = MetricsService(config.metrics, self.workers, metrics)

    def listen(self) -> None:
        """Have the addresses; nobody is answered yet.

        :raises ConfigError: one of them cannot be had
        """
        if self._api is not None:
            self._api.listen()
        self._metrics.listen()

    def start(self) -> None:
        """Answer, after :meth:`listen`; returns at once."""
        if self._api is not None:
            self._api.start()
        self._metrics.start()

    def wait(self) -> bool:
        """Serve until SIGTERM or SIGINT, then answer what has begun.

        :returns: False when a part of it died
        """

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.workers.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            return self.workers.wait()
        finally:
            self.stop()

    def stop(self) -> None:
        """Answer what has begun, and no more."""
        self.workers.stop()
        self._metrics.stop()
        if self._api is not None:
            self._api.stop()
