#!/bin/sh
# quiet.sh QUIET -- local use opens no socket and starts no thread or process; a get that sleeps long sleeps in the kernel.
. "$(dirname "$0")/lib.sh"
quiet=$1
need strace
strace -o "$work/probe" true 2>/dev/null || skip "strace may not trace here"
mkdir "$work/bus"
chmod 700 "$work/bus"
export PTQ_DIR="$work/bus"
getter=
trap '[ -n "$getter" ] && kill -9 "$getter" 2>/dev/null; rm -rf "$work"' EXIT

strace -f -o "$work/trace" "$quiet" get &
getter=$!
# It sleeps a slice on the futex first, then in poll without a timeout.
tries=0
until grep -q 'poll([^)]*$\|poll(.*<unfinished\|poll(.*NULL' "$work/trace" 2>/dev/null; do
    kill -0 "$getter" 2>/dev/null || { cat "$work/trace"; fail "the getter is gone"; }
    tries=$((tries + 1))
    [ $tries -lt 400 ] || { tail "$work/trace"; fail "the getter did not come to sleep in poll"; }
    sleep 0.05
done
calls=$(wc -l <"$work/trace")

timeout 30 "$quiet" put || fail "the other side exited with $?"
wait "$getter" || fail "the getter exited with $?"
getter=

grep -q 'futex(' "$work/trace" || fail "no futex call: is the trace blind?"
# strace adds the line of a call when it returns: one more at most while it slept.
[ "$calls" -gt 10 ] || fail "only $calls calls before it slept: is the trace blind?"
grep -E '(^|[^a-z_])(socket|socketpair|connect|bind|listen|accept4?|sendto|sendmsg|recvfrom|recvmsg)\(' "$work/trace" &&
    fail "local use made these socket calls"
grep -E '(^|[^a-z_])(clone|clone3|fork|vfork)\(' "$work/trace" && fail "local use started these"
say "$(wc -l <"$work/trace") system calls, no socket, no thread"
