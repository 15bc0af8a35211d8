"""The Network API and its clients for tests."""
