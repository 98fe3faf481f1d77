"""How connections are accepted, and how many there may be."""
