#!/bin/bash
# test_far.sh PTQ PTQTOP PTQBRIDGE -- workers of a pool on another bus, which shares nothing with the first but a bridge.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/../tools/lib.sh"
PTQBRIDGE=$3

# The bus of the case is the pool's home; $far are the words that lead there from another bus.
serve_home() {
    socket=$work/socket
    start bridge "$PTQBRIDGE" --listen "ipc://$socket"
    wait_for has_line "$work/bridge.err" "listening on"
    far=(--dir "$work/other" --peers "home=ipc://$socket")
}

case_workers_join_across_a_bridge() {
    serve_home
    seq 300 >"$work/in"
    meet 3
    start near "$PTQ" pool worker squares --wait 20000 --name near --exec "$met"'; read n; echo $((n * n))'
    near=$pid
    start away "$PTQ" "${far[@]}" pool worker squares@home --wait 20000 --workers 2 --exec "$met"'; read n; echo $((n * n))'
    away=$pid
    expect_from 0 "$work/in" "$PTQ" pool run squares --no-workers
    seq 300 | awk '{ print $1 * $1 }' | cmp - "$work/out" || fail "other results"
    finish "$near" 0
    finish "$away" 0
}

# No link in any of the workers: the far host has a bridge of its own.
case_workers_join_through_the_bridge_of_their_host() {
    serve_home
    start own "$PTQBRIDGE" --dir "$work/other" --listen "ipc://$work/own"
    wait_for has_line "$work/own.err" "listening on"
    seq 300 >"$work/in"
    meet 2
    PTQ_VIA=bridge start away "$PTQ" "${far[@]}" pool worker squares@home --wait 20000 --workers 2 --exec "$met"'; read n; echo $((n * n))'
    away=$pid
    expect_from 0 "$work/in" "$PTQ" pool run squares --no-workers
    seq 300 | awk '{ print $1 * $1 }' | cmp - "$work/out" || fail "other results"
    finish "$away" 0
}

case_the_job_of_a_killed_far_worker_is_done_by_another() {
    serve_home
    mkfifo "$work/at" "$work/gate"
    export at=$work/at gate=$work/gate
    seq 20 >"$work/in"
    "$PTQ" pool run squares --no-workers <"$work/in" >"$work/run.out" 2>"$work/run.err" &
    run=$!
    children+=("$run")
    start away "$PTQ" "${far[@]}" pool worker squares@home --wait 20000 --exec 'echo at >"$at"; read n <"$gate"'
    away=$pid
    read -r _ <"$work/at"
    kill -KILL "$away"
    start near "$PTQ" pool worker squares --exec 'read n; echo "$n:$PTQ_TRIES"'
    finish "$run" 0
    { echo 1:2; seq 2 20 | sed 's/$/:1/'; } | cmp - "$work/run.out" || fail "other results: $(cat "$work/run.out")"
}

case_status_from_afar() {
    serve_home
    mkfifo "$work/in"
    "$PTQ" pool run squares --no-workers <"$work/in" >"$work/run.out" &
    run=$!
    children+=("$run")
    exec 7>"$work/in"
    seq 5 >&7
    wait_for status_is squares queued 5
    expect 0 "$PTQ" "${far[@]}" pool status squares@home --json
    json_is '.queued == 5 and .running == 0 and (.stopped | not)'
    expect 2 "$PTQ" "${far[@]}" pool rm squares@home
    err_has 'on the host where it lives'
    expect 2 "$PTQ" "${far[@]}" pool run other@home --exec cat
    exec 7>&-
    expect 0 "$PTQ" "${far[@]}" pool worker squares@home --exec cat
    finish "$run" 0
    seq 5 | cmp - "$work/run.out" || fail "other results"
}

status_is() {
    [ "$("$PTQ" pool status "$1" --json 2>/dev/null | jq -r ".$2")" = "$3" ]
}

run_cases
