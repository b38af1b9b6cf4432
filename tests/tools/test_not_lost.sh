#!/bin/bash
# test_not_lost.sh -- what was not written is not acknowledged: closed pipes, full disks, signals, kills, commands that fail.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

fill() {
    "$PTQ" create tasks "${@:2}" && seq "$1" | "$PTQ" put tasks --line || fail "cannot fill"
}

case_a_closed_pipe_does_not_acknowledge() {
    fill 3
    mkfifo "$work/pipe"
    exec 7<>"$work/pipe" 8>"$work/pipe" # a writer whose reader goes away
    exec 7<&-
    "$PTQ" get tasks >&8 2>"$work/err"
    local code=$?
    exec 8>&-
    [ $code -eq 1 ] || fail "exit $code instead of 1"
    err_has "cannot write to standard output: Broken pipe"
    figure tasks acked 0
    expect 0 "$PTQ" get tasks --all
    out_is 1 2 3
}

case_a_reader_that_leaves_loses_nothing_that_it_did_not_get() {
    fill 500 --capacity 1000
    "$PTQ" get tasks --all 2>"$work/err" | head -c 40 >"$work/out"
    local acked left
    acked=$("$PTQ" stats tasks acked)
    left=$("$PTQ" stats tasks queue_size)
    [ $((acked + left)) -eq 500 ] || fail "$acked acknowledged and $left left of 500"
}

case_a_full_disk_does_not_acknowledge() {
    fill 3
    "$PTQ" get tasks --all --batch 2 >/dev/full 2>"$work/err"
    local code=$?
    [ $code -eq 1 ] || fail "exit $code instead of 1"
    err_has "cannot write to standard output: No space left on device"
    figure tasks acked 0
    expect 0 "$PTQ" get tasks --all
    out_is 1 2 3
}

case_a_closed_output_is_an_error() {
    fill 1
    "$PTQ" get tasks >&- 2>"$work/err"
    [ $? -eq 1 ] || fail "it did not fail"
    figure tasks acked 0
    "$PTQ" ls >/dev/full 2>"$work/err"
    [ $? -eq 1 ] || fail "ls did not fail"
}

case_what_is_done_is_not_asked_for_twice_when_its_words_are_lost() {
    fill 3
    "$PTQ" share set counts one 1 >/dev/null
    for what in 'put tasks x --position' gc 'share add counts one 1' 'purge tasks' 'kick tasks'; do
        # shellcheck disable=SC2086 # a command and its arguments
        "$PTQ" $what >/dev/full 2>"$work/err"
        [ $? -eq 1 ] || fail "$what did not fail"
        err_is "ptq: cannot write to standard output: No space left on device - what was asked is done all the same: do not call again for that"
    done
    figure tasks put 4
    figure tasks queue_size 0
    expect 0 "$PTQ" share get counts one
    out_is 2
}

case_only_get_speaks_of_acknowledging() {
    fill 2
    for look in 'peek tasks --all' 'tail tasks --all --timeout 0'; do
        # shellcheck disable=SC2086 # a command and its arguments
        "$PTQ" $look >/dev/full 2>"$work/err"
        [ $? -eq 1 ] || fail "$look did not fail"
        err_is "ptq: cannot write to standard output: No space left on device - mend it, and call again"
    done
    "$PTQ" get tasks >/dev/full 2>"$work/err"
    err_is "ptq: cannot write to standard output: No space left on device - nothing more was acknowledged; mend it, and call again"
    seq 3 | "$PTQ" pool run -- echo {} >/dev/full 2>"$work/err"
    err_has "what has run is not undone"
}

case_no_ack_shows_and_gives_back() {
    fill 3
    expect 0 "$PTQ" get tasks --no-ack --all
    out_is 1 2 3
    figure tasks acked 0
    figure tasks queue_size 3
    expect 0 "$PTQ" get tasks --all -F json
    [ "$(jq -c '[.data, .deliveries, .redelivered]' "$work/out")" = $'["1",2,true]\n["2",2,true]\n["3",2,true]' ] ||
        fail "not redelivered in order"
}

ends_by_signal() {
    fill 0
    start get "$PTQ" get tasks --follow
    wait_for figure_is tasks endpoints 1
    wait_for catches "$pid" "$1"
    kill "-$1" "$pid"
    finish "$pid" "$2"
    figure tasks endpoints 0
    figure tasks dead_endpoints 0
}

case_sigterm_ends_a_waiting_get() {
    ends_by_signal TERM 143
}

case_sigint_ends_a_waiting_get() {
    # a shell starts what is in the background with SIGINT ignored
    fill 0
    setsid bash -c 'trap - INT; exec env --default-signal=INT "$0" get tasks --follow' "$PTQ" >"$work/get.out" 2>&1 &
    pid=$!
    children+=("$pid")
    wait_for figure_is tasks endpoints 1
    wait_for catches "$pid" INT
    kill -INT $pid
    finish $pid 130
    figure tasks endpoints 0
}

case_a_signal_gives_leases_back() {
    fill 3
    mkfifo "$work/pipe"
    exec 7<>"$work/pipe"
    # fill the pipe: what get writes must wait
    dd if=/dev/zero of="$work/pipe" bs=4096 count=64 oflag=nonblock 2>/dev/null
    "$PTQ" get tasks --all --batch 3 >"$work/pipe" 2>"$work/err" &
    pid=$!
    children+=("$pid")
    wait_for figure_is tasks leased 3
    kill -TERM $pid
    finish $pid 143
    exec 7>&-
    figure tasks acked 0
    figure tasks queue_size 3
    figure tasks dead_endpoints 0
}

case_a_killed_get_loses_nothing() {
    fill 2
    start get "$PTQ" get tasks --exec 'kill -KILL $PPID'
    wait_for is_gone "$pid"
    expect 0 "$PTQ" get tasks -n 2 -F json
    [ "$(jq -c '[.data, .deliveries, .redelivered]' "$work/out")" = $'["1",2,true]\n["2",1,false]' ] || fail "not redelivered first"
    figure tasks recovered 1
}

case_sigterm_ends_a_waiting_put_and_says_how_far_it_came() {
    expect 0 "$PTQ" create tasks --capacity 2
    mkfifo "$work/pipe"
    seq 5 >"$work/lines"
    "$PTQ" put tasks --line <"$work/lines" 2>"$work/put.err" &
    pid=$!
    children+=("$pid")
    wait_for figure_is tasks queue_size 2
    kill -TERM $pid
    finish $pid 143
    has_line "$work/put.err" "ptq: tasks: interrupted; 2 messages were put before" || fail "$(cat "$work/put.err")"
}

case_sigterm_ends_a_put_that_waits_for_input() {
    expect 0 "$PTQ" create tasks
    mkfifo "$work/pipe"
    "$PTQ" put tasks --line <"$work/pipe" 2>"$work/put.err" &
    pid=$!
    children+=("$pid")
    exec 7>"$work/pipe"
    echo one >&7
    wait_for figure_is tasks queue_size 1
    kill -TERM $pid
    finish $pid 143
    exec 7>&-
    has_line "$work/put.err" "interrupted; 1 message was put before" || fail "$(cat "$work/put.err")"
}

# -- exec

case_exec_acknowledges_what_exits_0() {
    fill 3
    expect 0 "$PTQ" get tasks --all --exec 'read n; echo "$PTQ_QUEUE $PTQ_DELIVERIES $n"'
    out_is 'tasks 1 1' 'tasks 1 2' 'tasks 1 3'
    figure tasks acked 3
}

case_exec_gives_the_exact_bytes() {
    head -c 4096 /dev/urandom >"$work/in"
    expect 0 "$PTQ" create tasks
    expect_from 0 "$work/in" "$PTQ" put tasks
    expect 0 "$PTQ" get tasks --exec cat
    cmp "$work/in" "$work/out" || fail "other bytes"
    expect_from 0 "$work/in" "$PTQ" put tasks
    expect 0 "$PTQ" get tasks --exec : # does not read it
}

case_exec_gives_back_what_fails() {
    fill 1
    expect 1 "$PTQ" get tasks --exec 'exit 3'
    err_has "given back: the command exited 3"
    figure tasks acked 0
    figure tasks nacked 1
    expect 1 "$PTQ" get tasks --exec 'kill -SEGV $$'
    err_has "given back: the command was killed by signal 11"
    expect 0 "$PTQ" get tasks -F json
    [ "$(jq .deliveries "$work/out")" = 3 ] || fail "not the third delivery"
}

case_exec_tries_again_until_it_succeeds() {
    fill 2
    expect 0 "$PTQ" end tasks
    expect 1 "$PTQ" get tasks --follow --exec 'read n; [ $n = 2 ] || [ $PTQ_DELIVERIES -ge 3 ]'
    figure tasks acked 2
    figure tasks nacked 2
}

case_exec_makes_dead_letters_at_the_limit() {
    fill 1 --max-deliveries 2
    expect 0 "$PTQ" end tasks
    expect 1 "$PTQ" get tasks --follow --exec false
    figure tasks dead 1
    figure tasks acked 0
    expect 0 "$PTQ" peek tasks --state dead
    out_is 1
}

case_a_signal_reaches_the_command_and_the_message_comes_back() {
    fill 1
    start get "$PTQ" get tasks --exec 'echo started; exec sleep 1000'
    wait_for has_line "$work/get.out" started
    kill -TERM "$pid"
    finish "$pid" 143
    figure tasks acked 0
    figure tasks queue_size 1
    figure tasks dead_endpoints 0
}

case_a_command_may_end_its_work_after_a_signal() {
    fill 2
    start get "$PTQ" get tasks --follow --exec 'trap "echo stopped; exit 0" TERM; echo started; while :; do sleep 0.01; done'
    wait_for has_line "$work/get.out" started
    kill -TERM "$pid"
    finish "$pid" 143
    has_line "$work/get.out" stopped || fail "it was not told"
    figure tasks acked 1
    figure tasks queue_size 1
}

command -v jq >/dev/null || { echo "skipped: no jq"; exit 77; }
run_cases
