"""Servers that speak Asterisk's protocols over real sockets, for the tests of the clients."""
