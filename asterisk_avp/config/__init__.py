"""The settings: what an administrator writes, where it is read, and the checks of it."""
