"""What a topology document changes, as pure functions.

Identity of elements without an id: networks are found again by name, subnets by their CIDR within the network, ports by
their MAC address within the network, else by name within it. What the document leaves out keeps its value on an object
that exists; so a second run changes nothing, and nothing that was allocated is ever allocated anew.
"""

from topology.planning.plan import make_plan
from topology.planning.values import BrokenRow, Change, Maker, NameGuard, Plan, TopologyState

__all__ = ["BrokenRow", "Change", "Maker", "NameGuard", "Plan", "TopologyState", "make_plan"]
