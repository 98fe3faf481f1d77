"""FastAGI: what Asterisk's dialplan asks of the daemon while a call waits for the answer."""
