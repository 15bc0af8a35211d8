"""``tunbridge trace``: what becomes of one frame, from the device that sends it to those that get it."""
