"""Tools around the project: they run it on this machine and are not installed with it."""
