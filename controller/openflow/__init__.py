"""OpenFlow 1.3 towards the bridges of this host: framing, codec, sessions, reconciliation."""
