"""FastAGI: requests from the dialplan that a call waits for."""
