"""Accept connections, and limit their number."""
