"""Servers that speak Asterisk's protocols over real sockets, for tests of the clients."""
