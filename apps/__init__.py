"""How the topology looks in flows: pure functions from a view of the host to sets of flows.

May import the standard library, netaddr, immutables and the values of the topology. No os-ken, no eventlet, no I/O, no
clock.
"""

from apps.anti_spoofing import PortSecurityFlows
from apps.arp_responder import ArpResponder
from apps.drop_counters import DropCounters
from apps.framework.app import App
from apps.group_filter import SecurityGroups
from apps.integration_bridge import IntegrationBridge
from apps.l2_population import L2Population
from apps.physical_bridge import PhysicalBridge
from apps.port_delivery import PortDelivery
from apps.tunnel_bridge import TunnelBridge

APPLICATIONS: tuple[App, ...] = (
    IntegrationBridge(),
    TunnelBridge(),
    PhysicalBridge(),
    L2Population(),
    ArpResponder(),
    PortSecurityFlows(),
    SecurityGroups(),
    PortDelivery(),
    DropCounters(),
)
"""All there are. Whatever has to do with applications takes them from here, and names none."""
