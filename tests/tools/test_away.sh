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

case_who_waits_hears_of_peers_that_become_known_meanwhile() {
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    wait_for grep -qs listening "$work/home.err"
    expect 0 "$PTQ" create later
    PTQ_VIA=bridge "$PTQ" put --dir "$work/other" later hello --wait 60s 2>"$work/err" &
    waiter=$!
    wait_for test -d "$work/other" # it has begun: no peer is known
    start own "$PTQBRIDGE" --dir "$work/other" --listen "ipc://$work/own.sock" --peer "home=ipc://$work/home.sock"
    wait $waiter || fail "it ended with $?: $(cat "$work/err")"
    expect 0 "$PTQ" get later
    out_is hello
}

case_shares_and_logs_of_another_host_are_used_by_their_names() {
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    wait_for grep -qs listening "$work/home.err"
    far=(--dir "$work/other" --peers "home=ipc://$work/home.sock")
    expect 0 "$PTQ" share set "${far[@]}" s@home n 5
    expect 0 "$PTQ" share add "${far[@]}" s@home n 2
    out_is 7
    expect 0 "$PTQ" share get s n
    out_is 7
    expect 0 "$PTQ" share get --dir "$work/other" "ptq+ipc://$work/home.sock/test/s" n
    out_is 7
    : >"$work/seen"
    "$PTQ" share watch "${far[@]}" s@home n --count 2 >"$work/seen" 2>"$work/err" &
    watcher=$!
    wait_for grep -q 7 "$work/seen"
    expect 0 "$PTQ" share add s n 1
    wait $watcher || fail "it ended with $?: $(cat "$work/err")"
    [ "$(tr '\n' ' ' <"$work/seen")" = "7 8 " ] || fail "$(cat "$work/seen")"
    expect 0 "$PTQ" share ls "${far[@]}" s@home --json
    json_is '.name == "n" and .type == "i64" and .value == 8'
    expect 3 "$PTQ" share get "${far[@]}" none@home n
    err_has "ptq: none@home: cannot open the share: share 'none' does not exist at"
    expect 2 "$PTQ" share rm "${far[@]}" s@home
    err_has "remove it there, by its bare name"

    expect 0 "$PTQ" log append "${far[@]}" l@home one
    expect 0 "$PTQ" log append l two
    expect 0 "$PTQ" log show "${far[@]}" l@home --raw
    out_is one two
    expect 4 "$PTQ" log follow "${far[@]}" l@home --timeout 10
    expect 2 "$PTQ" log rm "${far[@]}" l@home
}

case_peers_are_shown_as_they_are() {
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    home=$pid
    wait_for grep -qs listening "$work/home.err"
    expect 0 "$PTQ" create readings
    expect 0 "$PTQ" create tasks
    known=(--dir "$work/other" --peers "home=ipc://$work/home.sock,gone=ipc://$work/gone.sock")
    expect 8 "$PTQ" peers "${known[@]}"
    grep -Eq '^PEER +URL +STATE +RTT +SINCE +BRIDGE +QUEUES$' "$work/out" || fail "no head"
    grep -Eq "^home +ipc://$work/home.sock +up +[0-9.]+ms +- +- +2\$" "$work/out" || fail "home is not shown as it is"
    grep -Eq "^gone +ipc://$work/gone.sock +down +- +- +- +-\$" "$work/out" || fail "gone is not shown as it is"
    err_has "ptq: gone: "
    expect 0 "$PTQ" peers --dir "$work/other" --peers "home=ipc://$work/home.sock" --queues
    out_is readings@home tasks@home
    expect 8 "$PTQ" peers "${known[@]}" --json
    jq -es 'length == 2 and all(.[]; .v == 1) and .[0].peer == "home" and .[0].up and .[0].rtt_us > 0 and .[0].queues == ["readings", "tasks"]
        and (.[0] | has("bridge_up") | not) and (.[1].up | not) and .[1].answer == "PTQ_EUNREACHABLE" and (.[1].why | length) > 10' \
        "$work/out" >/dev/null || fail "the objects are others"
    expect 0 "$PTQ" peers --dir "$work/other"
    [ "$(wc -l <"$work/out")" = 1 ] || fail "peers out of nothing"
}

case_peers_that_the_bridge_watches_are_shown_with_since_when() {
    start home "$PTQBRIDGE" --listen "ipc://$work/home.sock"
    home=$pid
    wait_for grep -qs listening "$work/home.err"
    expect 0 "$PTQ" create readings
    start own "$PTQBRIDGE" --dir "$work/other" --listen "ipc://$work/own.sock" --peer "home=ipc://$work/home.sock"
    wait_for grep -qs "event=up peer=home" "$work/own.err"
    wait_for grep -qs "^peer home .* up$" "$work/other/test/~peers"
    expect 0 "$PTQ" peers --dir "$work/other" --json
    json_is '.up and .bridge_up and .bridge_since_unix_ms <= (now + 1) * 1000 and .bridge_since_unix_ms > (now - 100) * 1000'
    expect 0 "$PTQ" peers --dir "$work/other"
    grep -Eq '^home .* up +[0-9.]+ms +[0-9]+m?s +up +1$' "$work/out" || fail "the bridge's word is missing"
    kill -KILL "$home"
    wait "$home" 2>/dev/null
    wait_for grep -qs "^peer home .* down$" "$work/other/test/~peers"
    expect 8 "$PTQ" peers --dir "$work/other" --json
    json_is '(.up | not) and (.bridge_up | not) and .bridge_since_unix_ms > (now - 100) * 1000'
}

run_cases
