#!/bin/sh
# As root Chromium raises its own priority, and on two processors starves Asterisk and the phones
# beside it. Without CAP_SYS_NICE it cannot. Usage: CHROMIUM=PROGRAM chromium.sh ARGUMENTS
exec setpriv --bounding-set -sys_nice --inh-caps -sys_nice -- "$CHROMIUM" "$@"
