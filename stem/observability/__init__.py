"""Logs, metrics and traces. The core never calls them."""
