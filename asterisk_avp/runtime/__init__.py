"""What every long-running part needs: background tasks, and pauses between attempts."""
