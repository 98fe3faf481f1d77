#!/bin/sh
# As root Chromium raises its own priority, and on two processors starves Asterisk and the phones
# beside it. Without CAP_SYS_NICE it cannot. Nor shall it hear of other tests' changes of the network.
# Usage: CHROMIUM=PROGRAM PYTHON=PROGRAM chromium.sh ARGUMENTS
exec setpriv --bounding-set -sys_nice --inh-caps -sys_nice -- \
    "$PYTHON" -I "$(dirname "$0")/without_netlink.py" "$CHROMIUM" "$@"
