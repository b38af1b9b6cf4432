#!/bin/bash
# test_logs.sh -- ptq log: records in one order that everyone appends to, on the command line.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_append_makes_the_log_and_show_prints_it() {
    expect 0 "$PTQ" log append events 'backup done'
    out_is_empty
    printf 'two\nlines' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" log append events
    expect 0 "$PTQ" log show events
    [ "$(wc -l <"$work/out")" -eq 2 ] || fail "not a line a record"
    grep -Eq '^0  [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}  [0-9]+  backup done$' "$work/out" || fail "no first record"
    grep -Eq '^1  .*  two\\nlines$' "$work/out" || fail "no second record"
    expect 0 "$PTQ" log ls
    out_is events
    expect 0 "$PTQ" ls
    out_is_empty
}

case_lines_are_records() {
    seq 1 25 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" log append numbers --line --capacity 20
    expect 0 "$PTQ" log show numbers --raw
    [ "$(tr '\n' ' ' <"$work/out")" = "$(seq 6 25 | tr '\n' ' ')" ] || fail "not the last 20"
    expect 0 "$PTQ" log show numbers --raw --count 3
    out_is 23 24 25
    expect 0 "$PTQ" log show numbers --raw --from 22
    out_is 23 24 25
    expect 0 "$PTQ" log show numbers --raw --from 0 --count 1
    out_is 25
    expect 0 "$PTQ" log show numbers --from 1000
    out_is_empty
    expect 2 "$PTQ" log show numbers --from -1
    err_has "'-1' is no position"
    expect 2 "$PTQ" log append numbers x --line
}

case_json_is_an_object_a_record() {
    expect 0 "$PTQ" log append events 'one "quoted"'
    printf '\377\001' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" log append events -
    expect 0 "$PTQ" log show events --json
    [ "$(jq -c 'select(.position == 0) | [.v, .size, .data, (.pid > 0), (.unix_ms > 1000000000000)]' "$work/out")" = \
        '[1,12,"one \"quoted\"",true,true]' ] || fail "the first"
    [ "$(jq -c 'select(.position == 1) | [.size, .base64]' "$work/out")" = '[2,"/wE="]' ] || fail "the second"
}

case_bytes_that_a_terminal_obeys_are_escaped() {
    printf 'a\033[2Jb%0300d\303\244' 0 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" log append events --item-size 1K
    expect 0 "$PTQ" log show events
    out_has 'a\x1b[2Jb000'
    out_has 'ä'
    ! grep -q "$(printf '\033')" "$work/out" || fail "an escape came through"
}

case_a_record_that_is_too_long_is_refused() {
    expect 0 "$PTQ" log append events short --item-size 10
    expect 1 "$PTQ" log append events 'this is too long'
    err_has "ptq: events: cannot append 16 bytes: its records are smaller - make a log with a greater --item-size"
    printf 'ok\nthis is too long\nnever\n' >"$work/in"
    expect_from 1 "$work/in" "$PTQ" log append events --line
    err_has "; 1 record was appended before"
    expect 0 "$PTQ" log show events --raw
    out_is short ok
}

case_follow_prints_what_comes() {
    expect 0 "$PTQ" log append events old
    : >"$work/seen"
    "$PTQ" log follow events --count 3 --from 0 --raw >"$work/seen" 2>"$work/err" &
    follower=$!
    wait_for grep -q old "$work/seen"
    expect 0 "$PTQ" log append events new
    wait_for grep -q new "$work/seen"
    expect 0 "$PTQ" log append events last
    wait $follower || fail "it ended with $?: $(cat "$work/err")"
    [ "$(tr '\n' ' ' <"$work/seen")" = "old new last " ] || fail "$(cat "$work/seen")"
    expect 4 "$PTQ" log follow events --timeout 10
    out_is_empty
}

case_what_is_not_there_is_said() {
    expect 3 "$PTQ" log show nothing
    err_has "ptq: nothing: no such log"
    expect 3 "$PTQ" log follow nothing
    expect 3 "$PTQ" log rm nothing
    expect 0 "$PTQ" log rm nothing --force
    expect 2 "$PTQ" log
    err_has "ls, append, show, follow, rm"
    expect 2 "$PTQ" log append events x --capacity 2M
    expect 2 "$PTQ" log append events x --item-size 2M
}

case_rm_spares_the_living_unless_forced() {
    expect 0 "$PTQ" log append events x
    : >"$work/seen"
    "$PTQ" log follow events --from 0 >"$work/seen" 2>"$work/err" &
    follower=$!
    wait_for grep -q x "$work/seen"
    expect 1 "$PTQ" log rm events
    err_has "processes have it open"
    expect 0 "$PTQ" log rm events --force
    wait $follower && fail "it went on"
    grep -q "ptq: events: cannot follow it: .*removed" "$work/err" || fail "$(cat "$work/err")"
    expect 0 "$PTQ" log ls
    out_is_empty
}

run_cases
