"""The other nodes of a call centre: the directory of agents over NATS, and their daemons."""
