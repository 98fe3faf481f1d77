"""A call centre of hundreds: callers and agents' phones played by sipp, on one real Asterisk.

The functional tests have baresip, which says who hears whom; for hundreds of calls at once that
is too much of a machine. `world` says what the call centre looks like, `sipp` plays its people,
`watch` reads from AMI who is connected with whom, `driver` asks for transfers and sees what comes
of them, `usage` is what processes take.
"""
