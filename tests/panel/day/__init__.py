"""A day at the panel: an agent's calls and transfers, through the page alone and by keyboard alone.

    tests/run day [--calls 200] [--seed N]

A real Chromium, real phones, a real Asterisk. What the agent does, and what everybody else does on
their phones, is random; the seed repeats it, as far as a call centre behaves the same twice. After
each step the page must offer exactly what the API says can be done (`judge`). At rest what the page
keeps is measured (`heap`). At the end there must be no console error, and the page must have
stopped to grow.
"""
