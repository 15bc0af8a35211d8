"""What a host keeps over a restart, so that a topology restored from a backup takes down nothing that runs."""
