"""What the running Asterisk itself says of its configuration, wherever that is written: files,
`pjsip_wizard.conf`, a database, AEL or Lua. `ask` asks, `answers` reads, `overlay` compares with
the files.
"""
