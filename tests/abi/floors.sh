#!/bin/sh
# floors.sh SOURCE -- the tree keeps its floors, and the script that says so finds each kind of breach.
. "$(dirname "$0")/lib.sh"
source=$1
floors=$source/tools/dev/floors

"$floors" "$source" || fail "the tree breaks its floors"

# breach FILE LINE: a small sound tree with that line in that file must be refused.
breach() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/include/ptq" "$work/tree/src/base" "$work/tree/src/ring" "$work/tree/src/local" \
        "$work/tree/src/remote" "$work/tree/src/metrics" "$work/tree/tools/ptq" "$work/tree/bridges/x"
    echo '#include "base/a.h"' >"$work/tree/src/ring/slot.c"
    echo '#include "ring/slot.h"' >"$work/tree/src/local/port.c"
    echo '#include <nng/nng.h>' >"$work/tree/src/remote/link.c"
    : >"$work/tree/src/include/ptq/err.h"
    printf '#include "local/port.h"\n#include "remote/port.h"\n' >"$work/tree/src/ptq.c"
    printf '#include <ptq/err.h>\n#include "common/json.h"\n#include "cmd.h"\n' >"$work/tree/tools/ptq/main.c"
    "$floors" "$work/tree" >"$work/out" || { cat "$work/out"; fail "a sound tree is refused"; }
    mkdir -p "$(dirname "$work/tree/$1")"
    echo "$2" >>"$work/tree/$1"
    "$floors" "$work/tree" >"$work/out" && fail "not found: $2 in $1"
    grep -q "^$1:" "$work/out" || { cat "$work/out"; fail "not named: $1"; }
}

breach src/base/time.c '#include "ring/slot.h"'           # upwards
breach src/ring/slot.c '#include "metrics/page.h"'        # beside
breach src/local/port.c '#include "remote/link.h"'        # the carriers do not see each other
breach src/ring/slot.c '  #  include "bus/bus.h"'         # however it is written
breach src/ring/slot.c '#include "slot.h"'                # without its room
breach src/ring/slot.c '#include "../bus/bus.h"'
breach src/ring/slot.c '#include <ptq/none.h>'
breach src/cellar/x.c '#include <stdio.h>'                # no room of that name
breach src/remote/port.c '#include <nng/nng.h>'
breach src/ring/slot.c '#include <protobuf-c/protobuf-c.h>'
breach src/ring/slot.c '#include <sys/epoll.h>'
breach src/include/ptq/err.h '#include "base/time.h"'
breach tools/ptq/main.c '#include "ring/slot.h"'          # programs see the public headers
breach bridges/x/main.c '#include "remote/serve.h"'
say "the floors hold, and 14 breaches were found"
