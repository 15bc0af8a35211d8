"""The command line, ``tunbridge``."""
