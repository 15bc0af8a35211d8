"""A controller as a process: started, watched by a supervisor, stopped."""
