"""A call centre of hundreds of people, played by sipp, on one real Asterisk.

The functional tests use baresip, which shows who hears whom, but is too expensive for hundreds of
calls at once. `world` defines the call centre, `sipp` plays callers and agents, `watch` tracks in
AMI who is connected to whom, `driver` requests transfers and checks their outcome, and `usage`
measures processes.
"""
