"""OpenFlow connections: where they arrive, the handshake, sessions, requests and the limits on a peer."""
