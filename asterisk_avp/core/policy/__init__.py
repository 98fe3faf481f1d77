"""Which transfers are permitted, and which numbers an agent may dial."""
