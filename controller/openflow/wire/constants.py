"""Numbers of OpenFlow 1.3 and of its extensions that the wire needs, so that no module has bare ones.

From the OpenFlow Switch Specification 1.3.5 (§ in comments), the ONF bundle extension for OpenFlow 1.3 (EXT-230) and
Open vSwitch's ``nicira-ext.h``. Plain integers rather than enumerations where a hot path compares or packs them.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

OFP_VERSION: Final = 0x04
HEADER: Final = Struct("!BBHI")
"""ofp_header: version, type, length, xid (§7.1.1)."""
MAX_XID: Final = 0xFFFFFFFF


class MessageType(IntEnum):
    """enum ofp_type (§7.1.1)."""

    OFPT_HELLO = 0
    OFPT_ERROR = 1
    OFPT_ECHO_REQUEST = 2
    OFPT_ECHO_REPLY = 3
    OFPT_EXPERIMENTER = 4
    OFPT_FEATURES_REQUEST = 5
    OFPT_FEATURES_REPLY = 6
    OFPT_GET_CONFIG_REQUEST = 7
    OFPT_GET_CONFIG_REPLY = 8
    OFPT_SET_CONFIG = 9
    OFPT_PACKET_IN = 10
    OFPT_FLOW_REMOVED = 11
    OFPT_PORT_STATUS = 12
    OFPT_PACKET_OUT = 13
    OFPT_FLOW_MOD = 14
    OFPT_GROUP_MOD = 15
    OFPT_PORT_MOD = 16
    OFPT_TABLE_MOD = 17
    OFPT_MULTIPART_REQUEST = 18
    OFPT_MULTIPART_REPLY = 19
    OFPT_BARRIER_REQUEST = 20
    OFPT_BARRIER_REPLY = 21
    OFPT_QUEUE_GET_CONFIG_REQUEST = 22
    OFPT_QUEUE_GET_CONFIG_REPLY = 23
    OFPT_ROLE_REQUEST = 24
    OFPT_ROLE_REPLY = 25
    OFPT_GET_ASYNC_REQUEST = 26
    OFPT_GET_ASYNC_REPLY = 27
    OFPT_SET_ASYNC = 28
    OFPT_METER_MOD = 29


class FlowModCommand(IntEnum):
    """The commands of enum ofp_flow_mod_command that act on exactly one flow (§7.3.4.1).

    ``OFPFC_ADD`` replaces a flow of the same key, its cookie included, and starts its counters anew;
    ``OFPFC_MODIFY_STRICT`` changes only the instructions: cookie and counters stay.
    """

    OFPFC_ADD = 0
    OFPFC_MODIFY_STRICT = 2
    OFPFC_DELETE_STRICT = 4


class PortReason(IntEnum):
    """enum ofp_port_reason (§7.4.3)."""

    OFPPR_ADD = 0
    OFPPR_DELETE = 1
    OFPPR_MODIFY = 2


class BundleControlType(IntEnum):
    """enum onf_bundle_ctrl_type (EXT-230)."""

    OPEN_REQUEST = 0
    OPEN_REPLY = 1
    CLOSE_REQUEST = 2
    CLOSE_REPLY = 3
    COMMIT_REQUEST = 4
    COMMIT_REPLY = 5
    DISCARD_REQUEST = 6
    DISCARD_REPLY = 7


class FlowUpdateEvent(IntEnum):
    """enum onf_flow_update_event (openflow-1.3.h of Open vSwitch)."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2
    ABBREV = 3


# enum ofp_port_no (§7.2.1)
OFPP_MAX: Final = 0xFFFFFF00
OFPP_IN_PORT: Final = 0xFFFFFFF8
OFPP_TABLE: Final = 0xFFFFFFF9
OFPP_NORMAL: Final = 0xFFFFFFFA
OFPP_FLOOD: Final = 0xFFFFFFFB
OFPP_ALL: Final = 0xFFFFFFFC
OFPP_CONTROLLER: Final = 0xFFFFFFFD
OFPP_LOCAL: Final = 0xFFFFFFFE
OFPP_ANY: Final = 0xFFFFFFFF

# enum ofp_port_config, ofp_port_state (§7.2.1)
OFPPC_PORT_DOWN: Final = 1 << 0
OFPPS_LINK_DOWN: Final = 1 << 0
OFPPS_BLOCKED: Final = 1 << 1
OFPPS_LIVE: Final = 1 << 2

# Wildcards of flow-mods and of statistics requests (§7.3.4.1, §7.3.5.2)
OFPG_ANY: Final = 0xFFFFFFFF
OFPTT_ALL: Final = 0xFF
OFP_NO_BUFFER: Final = 0xFFFFFFFF

# enum ofp_multipart_type and its flags (§7.3.5)
OFPMP_DESC: Final = 0
OFPMP_FLOW: Final = 1
OFPMP_PORT_DESC: Final = 13
OFPMP_EXPERIMENTER: Final = 0xFFFF
OFPMPF_REPLY_MORE: Final = 1 << 0

# enum ofp_hello_elem_type (§7.5.1)
OFPHET_VERSIONBITMAP: Final = 1

# enum ofp_error_type (§7.4.4)
OFPET_HELLO_FAILED: Final = 0
OFPET_EXPERIMENTER: Final = 0xFFFF

# enum ofp_match_type, ofp_oxm_class (§7.2.3)
OFPMT_OXM: Final = 1
OFPXMC_OPENFLOW_BASIC: Final = 0x8000
OFPXMC_EXPERIMENTER: Final = 0xFFFF

# enum ofp_instruction_type (§7.2.4)
OFPIT_GOTO_TABLE: Final = 1
OFPIT_WRITE_METADATA: Final = 2
OFPIT_WRITE_ACTIONS: Final = 3
OFPIT_APPLY_ACTIONS: Final = 4
OFPIT_CLEAR_ACTIONS: Final = 5
OFPIT_METER: Final = 6

# enum ofp_action_type (§7.2.5)
OFPAT_OUTPUT: Final = 0
OFPAT_COPY_TTL_OUT: Final = 11
OFPAT_COPY_TTL_IN: Final = 12
OFPAT_SET_MPLS_TTL: Final = 15
OFPAT_DEC_MPLS_TTL: Final = 16
OFPAT_PUSH_VLAN: Final = 17
OFPAT_POP_VLAN: Final = 18
OFPAT_PUSH_MPLS: Final = 19
OFPAT_POP_MPLS: Final = 20
OFPAT_SET_QUEUE: Final = 21
OFPAT_GROUP: Final = 22
OFPAT_SET_NW_TTL: Final = 23
OFPAT_DEC_NW_TTL: Final = 24
OFPAT_SET_FIELD: Final = 25
OFPAT_PUSH_PBB: Final = 26
OFPAT_POP_PBB: Final = 27
OFPAT_EXPERIMENTER: Final = 0xFFFF

# Nicira extensions (nicira-ext.h, ofp-actions.c of Open vSwitch)
NX_EXPERIMENTER: Final = 0x00002320
NXAST_REG_LOAD: Final = 7
NXAST_CT: Final = 35
NXAST_CONTROLLER2: Final = 37
NXAST_CLONE: Final = 42
NXAC2PT_USERDATA: Final = 3
NXM_OF_VLAN_TCI: Final = 0x00000802

# ONF extensions (EXT-230)
ONF_EXPERIMENTER: Final = 0x4F4E4600
ONFT_BUNDLE_CONTROL: Final = 2300
ONFT_BUNDLE_ADD_MESSAGE: Final = 2301
ONF_BF_ATOMIC: Final = 1 << 0
ONF_BF_ORDERED: Final = 1 << 1

# ONF extension for flow monitoring (enum onf_flow_monitor_msg_type and onf_flow_monitor_flags in openflow-1.3.h of
# Open vSwitch): the first number is that of the multipart messages and of the request to cancel.
ONFT_FLOW_MONITOR: Final = 1870
ONFT_FLOW_MONITOR_PAUSED: Final = 1871
ONFT_FLOW_MONITOR_RESUMED: Final = 1872
ONFFMF_ADD: Final = 1 << 1
ONFFMF_DELETE: Final = 1 << 2
ONFFMF_MODIFY: Final = 1 << 3
