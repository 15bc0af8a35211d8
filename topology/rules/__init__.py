"""Networks, subnets and ports as the Network API v2.0 has them: attributes, defaults, rules and views. Pure.

The names, defaults and rules are those of the published API reference, https://docs.openstack.org/api-ref/network/v2/.
"""
