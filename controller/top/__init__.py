"""``tunbridge top``: the ports of this host by traffic, drops and events, again and again."""
