"""The configuration: each option declared once, read by oslo.config, checked and frozen."""
