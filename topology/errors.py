"""The one exception tree of the project; every error says what is wrong and where."""


class TunbridgeError(Exception):
    """Base of every error that Tunbridge raises on purpose; its text is meant for an operator."""


class ConfigError(TunbridgeError):
    """An option of the configuration has a value that cannot be used."""


class DocumentError(TunbridgeError):
    """A topology document is wrong.

    :param path: where, e.g. ``networks[0].ports[2].mac_address``
    :param reason: what is wrong and what would be right
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class TopologyError(TunbridgeError):
    """The topology database cannot do what was asked."""


class ConflictError(TopologyError):
    """The change breaks a rule of the topology: a duplicate, an object in use, an exhausted range."""


class TopologyUnavailable(TopologyError):
    """The topology database does not answer; nothing was changed."""


class TopologyUnconfirmed(TopologyUnavailable):
    """It was asked for a change and does not answer: it may have been made or not."""


class VSwitchError(TunbridgeError):
    """The local OVSDB refused a change."""


class VSwitchUnavailable(VSwitchError):
    """The local OVSDB does not answer."""


class DeviceError(TunbridgeError):
    """A network device or namespace of this host cannot be made as it should be."""


class CompileError(TunbridgeError):
    """Desired flows contradict each other or break the limits of the pipeline."""


class OpenFlowError(TunbridgeError):
    """An OpenFlow peer broke the protocol or refused a request."""


class FramingError(OpenFlowError):
    """Bytes that are not a well-formed OpenFlow 1.3 message."""


class RequestTimeout(OpenFlowError):
    """The switch did not answer a request in time."""
