"""HTTP and WebSocket API. Imports the core, never another adapter."""
