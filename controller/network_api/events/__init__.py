"""Events of ports of servers, told to whoever the configuration names."""
