#!/bin/sh
# floors.sh SOURCE -- the tree keeps its floors, and the script that says so finds each kind of breach.
. "$(dirname "$0")/lib.sh"
source=$1
floors=$source/tools/dev/floors

"$floors" "$source" || fail "the tree breaks its floors"

# A small sound tree, which must be accepted.
tree=$work/tree
mkdir -p "$tree/src/include/ptq" "$tree/src/base" "$tree/src/ring" "$tree/src/local" "$tree/src/remote" "$tree/src/metrics" \
    "$tree/src/cellar" "$tree/tools/ptq" "$tree/bridges/x"
echo '#include "base/a.h"' >"$tree/src/ring/slot.c"
echo '#include "ring/slot.h"' >"$tree/src/local/port.c"
echo '#include <nng/nng.h>' >"$tree/src/remote/link.c"
echo '#include <nng/nng.h>' >"$tree/src/remote/link_listen.c"
: >"$tree/src/include/ptq/err.h"
: >"$tree/tools/ptq/cmd.h"
printf '#include "local/port.h"\n#include "remote/port.h"\n' >"$tree/src/ptq.c"
printf '#include <ptq/err.h>\n#include "common/json.h"\n#include "cmd.h"\n' >"$tree/tools/ptq/main.c"
"$floors" "$tree" || fail "a sound tree is refused"

# breach FILE LINE: a file with that line.
breach() {
    echo "$2" >"$tree/$1"
    echo "$1" >>"$work/breaches"
}
breach src/base/up.c '#include "ring/slot.h"'
breach src/ring/beside.c '#include "metrics/page.h"'
breach src/local/other.c '#include "remote/link.h"' # the carriers do not see each other
breach src/ring/spaced.c '  #  include "bus/bus.h"' # however it is written
breach src/ring/bare.c '#include "slot.h"'          # without its room
breach src/ring/dots.c '#include "../bus/bus.h"'
breach src/ring/missing.c '#include <ptq/none.h>'
breach src/cellar/x.c '#include <stdio.h>' # no room of that name
breach src/remote/port.c '#include <nng/nng.h>'
breach src/remote/linked.c '#include <nng/nng.h>'
breach src/ring/proto.c '#include <protobuf-c/protobuf-c.h>'
breach src/ring/linux.c '#include <sys/epoll.h>'
breach src/include/ptq/inner.h '#include "base/time.h"'
breach tools/ptq/deep.c '#include "ring/slot.h"' # programs see the public headers
breach bridges/x/main.c '#include "remote/serve.h"'

"$floors" "$tree" >"$work/out" && fail "a tree full of breaches is accepted"
sed 's/:.*//' "$work/out" | LC_ALL=C sort -u >"$work/found"
LC_ALL=C sort -u "$work/breaches" >"$work/expected"
diff "$work/expected" "$work/found" || { cat "$work/out"; fail "breaches (<) and findings (>) differ"; }
say "the floors hold, and $(wc -l <"$work/breaches") breaches were found"
