"""What happens, as server-sent events of the Network API: of this host's controller, and of the topology."""
