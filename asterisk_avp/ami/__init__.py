"""The adapter for Asterisk's manager interface (AMI)."""
