#!/bin/bash
# test_share.sh -- ptq share: values that everyone sees, on the command line.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_set_makes_what_is_missing_and_get_prints_it() {
    expect 0 "$PTQ" share set s level 3
    expect 0 "$PTQ" share get s level
    out_is 3
    expect 0 "$PTQ" share set s ratio 0.5
    expect 0 "$PTQ" share get s ratio
    out_is 0.5
    expect 0 "$PTQ" share set s motd 'back at five'
    expect 0 "$PTQ" share get s motd
    [ "$(cat "$work/out")" = "back at five" ] || fail "$(cat "$work/out")"
    expect 0 "$PTQ" share set s large 18446744073709551615 --type u64
    expect 0 "$PTQ" share get s large
    out_is 18446744073709551615
}

case_add_prints_what_it_then_is() {
    expect 0 "$PTQ" share add s done 5
    out_is 5
    expect 0 "$PTQ" share add s done -- -2
    out_is 3
    expect 0 "$PTQ" share add s part 0.25
    out_is 0.25
    expect 0 "$PTQ" share set s large 18446744073709551615
    expect 0 "$PTQ" share get s large
    out_is 18446744073709551615
    expect 2 "$PTQ" share add s done many
    err_has "'many' is no number"
}

case_ls_shows_shares_and_cells() {
    expect 0 "$PTQ" share ls
    out_is_empty
    expect 0 "$PTQ" share set s b two
    expect 0 "$PTQ" share set s a -- -1
    expect 0 "$PTQ" share ls
    out_is s
    expect 0 "$PTQ" share ls s
    grep -Eq '^CELL +TYPE +VERSION +VALUE$' "$work/out" || fail "no heads"
    [ "$(sed -n 2p "$work/out" | awk '{ print $1, $2, $4 }')" = "a i64 -1" ] || fail "$(cat "$work/out")"
    grep -Eq '^b +bytes +[0-9]+ +3 bytes$' "$work/out" || fail "$(cat "$work/out")"
    expect 0 "$PTQ" share ls s --json
    [ "$(jq -c 'select(.name == "a") | [.v, .type, .value]' "$work/out")" = '[1,"i64",-1]' ] || fail "$(cat "$work/out")"
    expect 0 "$PTQ" ls
    out_is_empty
}

case_a_type_is_kept() {
    expect 0 "$PTQ" share set s n 1
    expect 2 "$PTQ" share set s n text
    err_has "ptq: n: "
    err_has "is no i64"
    expect 1 "$PTQ" share set s n 1 --type f64
    expect 2 "$PTQ" share set s n text --type u64
    expect 0 "$PTQ" share get s n
    out_is 1
}

case_a_share_is_made_as_asked() {
    group=$(id -g)
    expect 0 "$PTQ" share create s --cells 4 --value-size 2K --group "$group"
    [ "$(stat -c '%a %g' "$work/bus/test"/s~s1)" = "660 $group" ] || fail "$(stat -c '%a %g' "$work/bus/test"/s~s1)"
    expect 0 "$PTQ" share create s
    expect 1 "$PTQ" share create s --exclusive
    err_has "cannot open the share: it exists"
    expect 1 "$PTQ" share create s --mode 600
    err_has "exists with mode 0660, 0600 was asked"
    expect 1 "$PTQ" share create s --cells 5
    expect 2 "$PTQ" share create s --group no-such-group-here --exclusive --cells 9999999
    expect 2 "$PTQ" share create other --group no-such-group-here
    err_has "there is no group 'no-such-group-here'"
    expect 0 "$PTQ" share set s text "$(printf '%01500d' 7)" --type bytes
    expect 0 "$PTQ" share create private --mode 640
    [ "$(stat -c %a "$work/bus/test"/private~s1)" = 640 ] || fail "its mode"
    expect 0 "$PTQ" log append l one --group "$group" --mode 640
    [ "$(stat -c '%a %g' "$work/bus/test"/l~g1)" = "640 $group" ] || fail "the log's"
}

case_what_is_not_there_is_said() {
    expect 3 "$PTQ" share get nothing n
    err_has "ptq: nothing: no such share"
    expect 3 "$PTQ" share ls nothing
    expect 3 "$PTQ" share rm nothing
    expect 0 "$PTQ" share rm nothing --force
    [ ! -s "$work/err" ] || fail "it said: $(cat "$work/err")"
    expect 0 "$PTQ" share set s n 1
    expect 3 "$PTQ" share get s m
    err_has "ptq: m: "
    expect 2 "$PTQ" share
    err_has "ls, create, get, set, add, watch, del, rm"
    expect 2 "$PTQ" share put
    err_has "'put' is none of"
    expect 3 "$PTQ" share get s@there n
    err_has "ptq: s@there: cannot open the share: no peer is called 'there' - name it in PTQ_PEERS"
}

case_watch_follows_changes() {
    expect 0 "$PTQ" share set s n 1
    : >"$work/seen"
    "$PTQ" share watch s n --count 3 >"$work/seen" 2>"$work/err" &
    watcher=$!
    wait_for grep -q 1 "$work/seen"
    expect 0 "$PTQ" share add s n 1
    wait_for grep -q 2 "$work/seen"
    expect 0 "$PTQ" share add s n 1
    wait $watcher || fail "it ended with $?: $(cat "$work/err")"
    [ "$(tr '\n' ' ' <"$work/seen")" = "1 2 3 " ] || fail "$(cat "$work/seen")"
    expect 4 "$PTQ" share watch s n --timeout 10
    out_is 3
}

case_cells_and_shares_are_deleted() {
    expect 0 "$PTQ" share set s a 1
    expect 0 "$PTQ" share set s b 1
    expect 0 "$PTQ" share set s c 1
    expect 0 "$PTQ" share del s a b
    expect 3 "$PTQ" share del s a
    expect 0 "$PTQ" share set s a again
    : >"$work/seen"
    "$PTQ" share watch s c >"$work/seen" 2>"$work/err" &
    watcher=$!
    wait_for grep -q 1 "$work/seen"
    expect 1 "$PTQ" share rm s
    err_has "processes have it open"
    expect 0 "$PTQ" share rm s --force
    wait $watcher && fail "it went on"
    grep -q "ptq: c: cannot watch it" "$work/err" || fail "$(cat "$work/err")"
    expect 0 "$PTQ" share ls
    out_is_empty
}

case_rm_all_takes_shares_along() {
    expect 0 "$PTQ" share set s a 1
    expect 0 "$PTQ" create q
    expect 0 "$PTQ" rm --all
    expect 0 "$PTQ" share ls
    out_is_empty
    expect 0 "$PTQ" ls
    out_is_empty
}

run_cases
