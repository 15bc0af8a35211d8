"""Frames and drops, as Open vSwitch counts them, for who scrapes."""
