"""A PBX of FreePBX 17's shape, for tests: its own text, the real thing's files, order and names.

The facts are from FreePBX's modules core, framework, queues, ringgroups, findmefollow, voicemail
and arimanager (release/17.0): which file includes which, who writes it, what queues' members are,
which variables hold voicemail back. The text is ours. What a call runs is as long as it needs to be
to behave as there, and no longer.

`model` is what the administrator enters in the GUI, `files` and `dialplan` are what *Apply Config*
writes from it, `agi` is the PBX's own FastAGI server, `bed` is an Asterisk that runs all of it, and
`installed` is the same with the product on it.
"""
