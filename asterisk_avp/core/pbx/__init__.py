"""What is known of Asterisk: channels, calls, agents, queues, recordings, versions."""
