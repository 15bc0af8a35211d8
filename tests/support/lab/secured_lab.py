"""The lab for faults with rules on: each port that stays is secured, and talks by connections that the rules allow."""

from __future__ import annotations

import pytest

from tests.support.lab.fault_lab import FaultLab
from tests.support.lab.packets import UDP, packet
from tests.support.lab.probe import Stream
from tests.support.lab.security import LabSecurity, rule
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

ASKED, NEVER = 5000, 5001
"""UDP ports: of what servers are asked, and of what no rule allows."""
_PING = [rule(direction, "IPv4", "icmp") for direction in ("ingress", "egress")]


class SecuredFaultLab(FaultLab):
    """Of each network the first VM is a client of the others, which answer; rules allow what it asks, and no answers.

    So these pass by their connections alone. Who may ask is a remote group; beside it all may ping. Movers have a group
    of those that stay: the host follows a group for as long as a port that has it was bound there last.
    """

    variant = ", with rules"

    def make_groups(self) -> None:
        """Make the groups; no port has them yet."""
        self.security = LabSecurity(self)
        self.security.group("clients", [*_PING, rule("egress", "IPv4", "udp", ports=(ASKED, ASKED))])
        asked = rule("ingress", "IPv4", "udp", ports=(ASKED, ASKED), group="clients")
        self.security.group("servers", [*_PING, asked])

    def secure_ports(self) -> None:
        self.make_groups()
        self.give_groups()

    def give_groups(self) -> None:
        """Secure all ports, each with its group."""
        for client, *servers in self.staying.values():
            self.security.secure(client, "clients")
            for server in servers:
                self.security.secure(server, "servers")
        for mover in self.movers:
            self.security.secure(mover, "servers")

    def streams(self) -> list[Stream]:
        """Questions and answers, and questions to all; beside them what is asked and said without being asked, of
        which nothing may pass. The connections are begun.
        """
        found = []
        for client, *servers in self.staying.values():
            for server in servers:
                for sender, receiver in ((client, server), (server, client)):
                    begin(sender, receiver, ASKED)
                    found += [
                        Stream(sender, (receiver,), port=ASKED),
                        Stream(sender, (receiver,), port=NEVER, is_forbidden=True),
                    ]
            found.append(Stream(client, tuple(servers), broadcast=True, port=ASKED))
            found.append(Stream(servers[0], (client,), broadcast=True, port=NEVER, is_forbidden=True))
        return found


def begin(sender: Vm, receiver: Vm, port: int) -> None:
    """Send packets of a UDP connection until one arrives: an answer does once there was a question."""
    frame = packet(UDP, sender, receiver, port, port)
    with receiver.capture(sender) as capture:

        def arrives() -> bool:
            sender.send(frame)
            return bool(capture.copies(frame))

        wait_until(arrives, 30, f"{receiver.name} hears {sender.name} at port {port}")


LABS = (
    pytest.param(FaultLab, id="switched"),
    pytest.param(SecuredFaultLab, id="secured", marks=pytest.mark.long),
)
"""What faults are tried in."""
