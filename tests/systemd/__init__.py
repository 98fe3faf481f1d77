"""The units of the daemon and its standby, under a systemd of their own."""
