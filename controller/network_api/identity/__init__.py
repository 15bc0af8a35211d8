"""Who sent a request to the Network API, and what is done with each request before it is looked at."""
