"""The tunnels to other hosts: which there should be, and ports that have moved from one to another."""
