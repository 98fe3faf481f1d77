"""Screen pops: their content, and which agent has which pop when."""
