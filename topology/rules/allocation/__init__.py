"""What is given to networks and ports that leave it open: segments, addresses."""
