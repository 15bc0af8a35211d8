"""The ONF bundle extension for OpenFlow 1.3 (EXT-230): many flow-mods, applied at once.

Open vSwitch takes the open request, all messages and the commit in one stream of bytes, without waiting in between.
Two kinds of refusal differ there. A message that it cannot read (a bad action, match or port) is answered with an error
and left out, and the commit applies the others. One that fails as it is applied (a full table) is answered with an
error, the commit with another, and nothing is applied. Either error carries the xid of the message at fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from controller.openflow.wire.constants import (
    OFP_VERSION,
    ONF_BF_ATOMIC,
    ONF_BF_ORDERED,
    ONF_EXPERIMENTER,
    ONFT_BUNDLE_ADD_MESSAGE,
    ONFT_BUNDLE_CONTROL,
    BundleControlType,
    MessageType,
)

ATOMIC_ORDERED = ONF_BF_ATOMIC | ONF_BF_ORDERED

_CONTROL = Struct("!BBHIIIIHH")
_ADD = Struct("!BBHIIII2xH")
_XID = Struct("!I")
_OFPT_EXPERIMENTER = int(MessageType.OFPT_EXPERIMENTER)


@dataclass(frozen=True)
class BundleControl:
    """A bundle control reply; ``type`` says what was done."""

    xid: int
    bundle_id: int
    type: BundleControlType
    flags: int


def _control(kind: BundleControlType, bundle_id: int, xid: int, flags: int) -> bytes:
    return _CONTROL.pack(
        OFP_VERSION,
        _OFPT_EXPERIMENTER,
        _CONTROL.size,
        xid,
        ONF_EXPERIMENTER,
        ONFT_BUNDLE_CONTROL,
        bundle_id,
        kind,
        flags,
    )


def bundle_open(bundle_id: int, xid: int, flags: int = ATOMIC_ORDERED) -> bytes:
    """Open a bundle; it is answered by ``OPEN_REPLY`` or an error."""
    return _control(BundleControlType.OPEN_REQUEST, bundle_id, xid, flags)


def bundle_commit(bundle_id: int, xid: int, flags: int = ATOMIC_ORDERED) -> bytes:
    """Close and apply a bundle; it is answered by ``COMMIT_REPLY`` or, with nothing applied, an error.

    :param flags: the same as when the bundle was opened
    """
    return _control(BundleControlType.COMMIT_REQUEST, bundle_id, xid, flags)


def bundle_discard(bundle_id: int, xid: int, flags: int = ATOMIC_ORDERED) -> bytes:
    """Forget a bundle; it is answered by ``DISCARD_REPLY`` or an error."""
    return _control(BundleControlType.DISCARD_REQUEST, bundle_id, xid, flags)


def bundle_add(bundle_id: int, message: bytes, flags: int = ATOMIC_ORDERED) -> bytes:
    """Put a message into a bundle; there is no answer but an error.

    :param message: whole, e.g. from :func:`controller.openflow.wire.codec.flow_mod`; its xid becomes that of the
        wrapper too, as EXT-230 §3.3 asks for, so that errors name it
    :param flags: the same as when the bundle was opened
    """
    return (
        _ADD.pack(
            OFP_VERSION,
            _OFPT_EXPERIMENTER,
            _ADD.size + len(message),
            _XID.unpack_from(message, 4)[0],
            ONF_EXPERIMENTER,
            ONFT_BUNDLE_ADD_MESSAGE,
            bundle_id,
            flags,
        )
        + message
    )


def bundle(
    bundle_id: int, messages: Iterable[bytes], *, open_xid: int, commit_xid: int, flags: int = ATOMIC_ORDERED
) -> bytes:
    """A whole bundle, opened, filled and committed, as one string of bytes to send.

    :param messages: in the order in which they apply
    :param open_xid: of the open request, which OPEN_REPLY carries
    :param commit_xid: of the commit request, which COMMIT_REPLY carries
    """
    parts = [bundle_open(bundle_id, open_xid, flags)]
    parts += [bundle_add(bundle_id, message, flags) for message in messages]
    parts.append(bundle_commit(bundle_id, commit_xid, flags))
    return b"".join(parts)


def decode_bundle_control(message: bytes) -> BundleControl:
    """A bundle control reply, the only OFPT_EXPERIMENTER message that framing lets in."""
    _, _, _, xid, _, _, bundle_id, kind, flags = _CONTROL.unpack_from(message)
    return BundleControl(xid, bundle_id, BundleControlType(kind), flags)
