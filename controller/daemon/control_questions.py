"""What the process of the Network API asks the controller of this host for the page: over its control socket, as the
commands ``tunbridge status``, ``flows`` and ``trace`` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.config.config import Config
from controller.network_api.host_routes import HostSilentError, NothingSuchError, WrongQuestionError
from controller.status.control_client import ControlError, ControlRefusal, call
from topology.errors import TunbridgeError, VSwitchUnavailable

Json = dict[str, Any]

_ANSWER = 20.0
"""Seconds that the controller has."""


class ControlQuestions:
    """See :class:`controller.network_api.host_routes.LocalHost`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def status(self) -> Json:
        """The state of the host."""
        try:
            found: Json = call(self._config.control_socket, "status", _ANSWER)
        except ControlError as error:
            raise HostSilentError(str(error)) from None
        return found

    def flows(self, bridge: str, text: str, most: int) -> Json:
        """Flows of a bridge, with what they are for."""
        asked = {"bridge": bridge, "most": most, **({"text": text} if text else {})}
        try:
            found: Json = call(self._config.control_socket, "explained_flows", _ANSWER, **asked)
        except ControlRefusal as error:
            raise NothingSuchError(str(error)) from None
        except ControlError as error:
            raise HostSilentError(str(error)) from None
        return found

    def trace(self, asked: Mapping[str, Any]) -> Json:
        """What becomes of a frame; other hosts are not asked: what is told of them is what the topology has."""
        from controller.status.explanation import NotFoundError  # which few who serve the API ever need
        from controller.trace.frame_trace import TraceRequest, trace_frame

        names = {"from": "source", "to": "target", "frame": "words", "arriving": "arriving", "size": "size"}
        request = TraceRequest(**{"source": None, **{names[name]: value for name, value in asked.items()}})
        try:
            return trace_frame(self._config, request)
        except NotFoundError as error:
            raise NothingSuchError(str(error)) from None
        except (ControlError, VSwitchUnavailable) as error:
            raise HostSilentError(str(error)) from None
        except TunbridgeError as error:
            raise WrongQuestionError(str(error)) from None
