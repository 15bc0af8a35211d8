"""A lab: several hosts with a real Open vSwitch each, VMs on them, and the networks between them, on one machine.

Hosts and VMs are network namespaces, so that frames are real and can be captured at every place. ``make lab`` builds
one to play with, the tests under tests/e2e build theirs. Needs root.
"""
