"""The pure part: no socket, clock, sleep or logging. Imports nothing from the adapters."""
