#!/bin/bash
# test_tap.sh -- looking on: ptq tail, which takes nothing, and ptq check, for monitors.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_tail_shows_and_takes_nothing() {
    "$PTQ" create tasks && seq 5 | "$PTQ" put tasks --line
    seq 6 9 | "$PTQ" put tasks --line --batch 4
    expect 0 "$PTQ" tail tasks --all -n 9
    out_is 1 2 3 4 5 6 7 8 9
    nothing_said
    figure tasks ready 9
    figure tasks acked 0
    expect 0 "$PTQ" tail tasks --all -n 7 -F json
    jq -se '[.[].position] == ([.[].position] | sort) and all(.[]; .v == 1 and .queue == "tasks" and .state == "ready")' \
        "$work/out" >/dev/null || fail "not the objects"
    expect 0 "$PTQ" get tasks --all
    out_is 1 2 3 4 5 6 7 8 9
}

case_tail_follows_to_the_end() {
    "$PTQ" create tasks && "$PTQ" put tasks 0
    start tail "$PTQ" tail tasks --all
    wait_for has_line "$work/tail.out" 0
    seq 50 | "$PTQ" put tasks --line
    wait_for has_line "$work/tail.out" 50 # they are there as long as nobody takes them
    "$PTQ" end tasks
    finish "$pid" 0
    seq 0 50 | cmp -s - "$work/tail.out" || fail "it lacks some"
    [ ! -s "$work/tail.err" ] || fail "it said something"
}

case_tail_says_what_it_did_not_see() {
    "$PTQ" create tasks && "$PTQ" put tasks first
    start tail "$PTQ" tail tasks --all -F json
    start words "$PTQ" tail tasks --all
    words=$pid
    wait_for has_line "$work/tail.out" first
    wait_for has_line "$work/words.out" first
    kill -STOP "${children[@]}"
    wait_for is_stopped "${children[0]}"
    wait_for is_stopped "${children[1]}"
    "$PTQ" get tasks --all >/dev/null
    seq 30 | "$PTQ" put tasks --line
    "$PTQ" get tasks --all >/dev/null
    "$PTQ" put tasks last
    kill -CONT "${children[@]}"
    wait_for has_line "$work/tail.out" last
    "$PTQ" end tasks
    finish "$words" 0
    jq -c '[.data, .missed]' "$work/tail.out" >"$work/out"
    out_is '["first",null]' '[null,30]' '["last",null]'
    cp "$work/words.err" "$work/err"
    err_is "ptq: tasks: 30 messages or more went by unseen: acknowledged before a look at them - look more often (--interval 0), or take them with ptq record"
}

case_tail_ends_when_nothing_comes() {
    "$PTQ" create tasks
    expect 4 "$PTQ" tail tasks --timeout 20
    err_has "nothing was put within 20 ms - "
    "$PTQ" put tasks one
    expect 0 "$PTQ" tail tasks --all --timeout 20
    expect 4 "$PTQ" tail tasks --all --timeout 20 -n 2
    err_has "only 1 of 2 messages were put - "
    start tail "$PTQ" tail tasks
    wait_for is_asleep "$pid"
    "$PTQ" rm tasks
    finish "$pid" 3
}

is_asleep() { grep -q "^State:.S" "/proc/$1/status" 2>/dev/null && [ "$(tr "\0" "\n" <"/proc/$1/cmdline" | sed -n 2p)" = tail ]; }

case_tail_refuses_what_it_cannot_see() {
    expect 2 "$PTQ" tail tasks@west
    err_has "tasks@west lives elsewhere"
    expect 2 "$PTQ" tail 'tasks!dead'
    expect 2 "$PTQ" tail tasks --interval forever
    expect 3 "$PTQ" tail tasks
}

case_tail_to_a_closed_pipe_ends() {
    "$PTQ" create tasks && seq 100 | "$PTQ" put tasks --line
    mkfifo "$work/pipe"
    exec 7<>"$work/pipe" 8>"$work/pipe"
    exec 7<&-
    "$PTQ" tail tasks --all >&8 2>"$work/err"
    [ $? -eq 1 ] || fail "it did not fail"
    exec 8>&-
    err_has "cannot write to standard output: Broken pipe"
}

case_check_answers_as_monitors_expect() {
    "$PTQ" create tasks --stamps all && seq 5 | "$PTQ" put tasks --line
    expect 0 "$PTQ" check tasks
    grep -q '^PTQ OK - tasks: 5 ready, .* | depth=5;;;0;1000 oldest=[0-9.]*s;;;0 dead=0;;;0 put=5c acked=0c dropped=0c$' "$work/out" ||
        fail "not the line"
    expect 0 "$PTQ" check tasks --max-depth 5 --max-age 1000m --max-dead 0
    expect 1 "$PTQ" check tasks --max-depth 10 --warn-depth 4
    out_has "PTQ WARNING - tasks: 5 messages, at most 4 wanted; "
    out_has "depth=5;4;10;0;1000"
    expect 2 "$PTQ" check tasks --max-depth 4 --warn-depth 1
    out_has "PTQ CRITICAL - tasks: 5 messages, at most 4 wanted; "
    expect 2 "$PTQ" check tasks --min-consumers 1
    out_has "0 consumers, at least 1 wanted"
    wait_for check_is 2 --max-age 5
    wait_for check_is 1 --warn-age 5
}

check_is() { "$PTQ" check tasks "${@:2}" >"$work/out" 2>&1; [ $? -eq "$1" ]; }

case_check_counts_dead_letters() {
    "$PTQ" create tasks --max-deliveries 1 && "$PTQ" put tasks bad
    "$PTQ" get tasks --no-ack >/dev/null
    expect 4 "$PTQ" get tasks --timeout 0 # the next who gets finds that it was handed out too often
    expect 2 "$PTQ" check tasks --max-dead 0
    out_has "1 dead letters, at most 0 wanted"
}

case_check_tells_machines() {
    "$PTQ" create tasks && seq 5 | "$PTQ" put tasks --line
    expect 2 "$PTQ" check tasks --max-depth 4 -F json
    json_is '.v == 1 and .queue == "tasks" and .state == "CRITICAL" and .code == 2 and .depth == 5 and (.problems | length) == 1'
    expect 2 "$PTQ" check tasks --max-depth 4 -F openmetrics
    out_has 'ptq_queue_messages{queue="tasks",state="ready"} 5'
    out_has 'ptq_check_state{queue="tasks"} 2'
    [ "$(tail -1 "$work/out")" = "# EOF" ] || fail "no end"
}

case_check_does_not_guess() {
    expect 3 "$PTQ" check tasks
    out_is "PTQ UNKNOWN - tasks: cannot be looked at"
    err_has "no such queue"
    expect 3 "$PTQ" check tasks -F json
    json_is '.state == "UNKNOWN" and .code == 3'
    expect 3 "$PTQ" check
    expect 3 "$PTQ" check tasks --max-depth many
    expect 3 "$PTQ" check tasks --frob
    "$PTQ" create tasks --stamps off && "$PTQ" put tasks one
    expect 3 "$PTQ" check tasks --max-age 1m
    out_has "its messages bear no time: make it with --stamps all"
}

run_cases
