"""The ONF bundle extension for OpenFlow 1.3 (EXT-230): many flow-mods, applied at once.

Open vSwitch takes the open request, all messages and the commit in one stream of bytes, without waiting in between.
Two kinds of refusal differ there. A message that it cannot read (a bad action, match or port) is answered with an error
and left out, and the commit applies the others. One that fails as it is applied (a full table) is answered with an
error, the commit with another, and nothing is applied. Either error carries the xid of the message at fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from os_ken.ofproto import ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire.messages import HEADER, OpenFlow13, encoded, xid_of

ATOMIC_ORDERED = ofp.ONF_BF_ATOMIC | ofp.ONF_BF_ORDERED

_ADD = Struct("!III2xH")
_ADD_SIZE = HEADER.size + _ADD.size


def bundle_control(kind: int, bundle_id: int, xid: int) -> bytes:
    """Open, close or discard a bundle, or commit it; it is answered by the reply of that kind or by an error.

    :param kind: ONF_BCT_*_REQUEST
    """
    return encoded(parser.ONFBundleCtrlMsg(OpenFlow13, bundle_id, kind, ATOMIC_ORDERED, []), xid)


def bundle_add(bundle_id: int, message: bytes) -> bytes:
    """Put a message into a bundle; there is no answer but an error.

    :param message: whole, e.g. from :func:`controller.openflow.wire.flow_messages.flow_mod`; its xid becomes
        that of the wrapper too, as EXT-230 §3.3 asks for, so that errors name it
    """
    head = HEADER.pack(ofp.OFP_VERSION, ofp.OFPT_EXPERIMENTER, _ADD_SIZE + len(message), xid_of(message))
    add = _ADD.pack(ofproto_common.ONF_EXPERIMENTER_ID, ofp.ONF_ET_BUNDLE_ADD_MESSAGE, bundle_id, ATOMIC_ORDERED)
    return head + add + message


def bundle(bundle_id: int, messages: Iterable[bytes], *, open_xid: int, commit_xid: int) -> bytes:
    """A whole bundle, opened, filled and committed, as one string of bytes to send.

    :param messages: in the order in which they apply
    :param open_xid: of the open request, which OPEN_REPLY carries
    :param commit_xid: of the commit request, which COMMIT_REPLY carries
    """
    parts = [bundle_control(ofp.ONF_BCT_OPEN_REQUEST, bundle_id, open_xid)]
    parts += [bundle_add(bundle_id, message) for message in messages]
    parts.append(bundle_control(ofp.ONF_BCT_COMMIT_REQUEST, bundle_id, commit_xid))
    return b"".join(parts)


def control_type(message: bytes) -> int:
    """What was done (ONF_BCT_*), of a bundle control reply; os-ken's reader copies it for each of its properties."""
    return int.from_bytes(message[20:22], "big")
