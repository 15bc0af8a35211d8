"""The page for operators: static files that a browser makes a map of hosts, networks, ports and tunnels of.

What it shows it asks of the Network API, as any other client does.
"""
