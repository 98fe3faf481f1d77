"""Screen pops: what they contain, who is shown which, and when."""
