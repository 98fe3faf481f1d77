"""What our servers and clients share: accepted connections, tasks, pauses between attempts."""
