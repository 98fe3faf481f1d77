"""The daemon: the parts, and the composition root that puts them together."""
