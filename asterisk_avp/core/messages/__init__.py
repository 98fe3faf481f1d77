"""Facts that come in, effects that go out, and how foreign text becomes clean."""
