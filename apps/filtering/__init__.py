"""What the applications that filter have in common: the tables that a frame passes, and what rules mean."""
