"""The state of Asterisk: channels, calls, agents, queues; its versions and AMI rights."""
