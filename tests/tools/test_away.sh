#!/bin/bash
# test_away.sh PTQ PTQTOP MAN PTQBRIDGE -- a queue of another host, while its home or the ptqbridge of this host is away.
. "$(dirname "$0")/lib.sh"
PTQBRIDGE=$4

case_lines_wait_in_the_outbox_while_their_home_is_away() {
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    home=$pid
    wait_for grep -qs listening "$work/home.err"
    expect 0 "$PTQ" create readings
    far=(--dir "$work/other" --peers "home=ipc://$work/home.sock")
    start own "$PTQBRIDGE" --dir "$work/other" --listen "ipc://$work/own.sock" --peer "home=ipc://$work/home.sock"
    wait_for grep -qs listening "$work/own.err"
    expect 0 "$PTQ" put "${far[@]}" --outbox readings@home first
    expect 0 "$PTQ" get readings --timeout 20000
    out_is first

    kill -KILL "$home"
    wait "$home" 2>/dev/null
    seq 1000 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" put "${far[@]}" --outbox --line readings@home
    nothing_said
    rm -f "$work/home.sock"
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    "$PTQ" get readings --count 1000 --timeout 60000 >"$work/got" || fail "not all came"
    cmp "$work/in" "$work/got" || fail "other lines, or another order"
}

run_cases
