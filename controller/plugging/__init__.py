"""What ``tunbridge plug`` does: a port's device on the integration bridge, made and set up on this host.

It does what a hypervisor does for a VM, for namespaces and containers that have none, and what it leaves behind is what
a hypervisor leaves: an Interface whose ``external_ids`` say whose it is. The controller has no part in it.
"""
