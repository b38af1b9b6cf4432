#!/bin/bash
# test_command.sh -- ptq pool as a user meets it: lines in, results in their order, workers killed and joined.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/../tools/lib.sh"
plugin=$3

no_pool_is_left() {
    [ -z "$(ls "$PTQ_DIR/test" 2>/dev/null)" ] || fail "left behind: $(ls "$PTQ_DIR/test")"
}

case_results_come_in_the_order_of_the_lines() {
    seq 300 >"$work/in"
    seq 300 | awk '{ print $1 * $1 }' >"$work/wanted"
    expect_from 0 "$work/in" "$PTQ" pool run --workers 4 --exec 'read n; echo $((n * n))'
    nothing_said
    cmp "$work/wanted" "$work/out" || fail "other results"
    no_pool_is_left
}

# The first run waits until the last but one has been.
case_a_slow_line_holds_its_place() {
    mkfifo "$work/gate"
    export gate=$work/gate
    printf 'wait\ntwo\nthree\nopen\nfive\n' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --exec \
        'read l; case $l in wait) read go <"$gate";; open) echo go >"$gate";; esac; echo "[$l]"'
    out_is '[wait]' '[two]' '[three]' '[open]' '[five]'
}

case_any_bytes_and_any_ends_of_lines() {
    printf 'one\n\nthree\r\nzero:\0:\nlast' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --exec cat
    printf 'one\n\nthree\r\nzero:\0:\nlast\n' | cmp - "$work/out" || fail "other bytes"
    expect 0 "$PTQ" pool run -j 2 --exec cat
    out_is_empty
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --exec 'printf x'
    out_is x x x x x
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --exec true
    out_is_empty
}

# Such need no shell; what cannot be started so is the shell's, with its words for it.
case_a_command_may_be_a_path_and_words() {
    seq 3 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --exec /bin/cat
    out_is 1 2 3
    expect_from 0 "$work/in" "$PTQ" pool run --exec '/usr/bin/env  A=b%c /usr/bin/printenv A '
    out_is b%c b%c b%c
    expect_from 0 "$work/in" "$PTQ" pool run --exec '/bin/cat | tr 123 abc'
    out_is a b c
    expect_from 0 "$work/in" "$PTQ" pool run --exec "/bin/echo '*'"
    out_is '*' '*' '*'
    printf 'read n; echo $((n + 1))\n' >"$work/script"
    chmod +x "$work/script"
    expect_from 0 "$work/in" "$PTQ" pool run --exec "$work/script"
    out_is 2 3 4
    expect_from 1 "$work/in" "$PTQ" pool run --exec /bin/false
    err_has 'exit status 1'
    expect_from 1 "$work/in" "$PTQ" pool run --exec /nowhere/nothing
    err_has 'exit status 127'
    no_pool_is_left
}

case_a_failing_line_is_told_and_the_others_go_on() {
    seq 20 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run -j 3 --exec 'read n; echo $n; [ $n != 7 ] && [ $n != 9 ]'
    seq 20 | grep -vx '[79]' | cmp - "$work/out" || fail "other results"
    err_has 'ptq: line 7: '
    err_has 'ptq: line 9: '
    err_has 'exit status 1'
}

case_a_line_that_is_too_long_is_told_and_left_out() {
    { echo short; head -c 5000 /dev/zero | tr '\0' x; echo; echo end; } >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run --line-size 4096 --exec cat
    out_is short end
    err_has 'line 2: 5000 bytes do not fit: the longest line is 4096'
    seq 3 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run --result-size 600 --exec 'read n; [ $n = 2 ] && seq 200 || echo $n'
    out_is 1 3
    err_has 'line 2: the result of 692 bytes does not fit'
}

case_a_plugins_tasks_are_worked_with() {
    seq 6 >"$work/in"
    "$PTQ" pool run twice --no-workers <"$work/in" >"$work/run.out" &
    children+=($!)
    pid=$!
    "$PTQ" pool worker twice --wait 10000 --plugin "$plugin" &
    children+=($!)
    "$PTQ" pool worker twice --wait 10000 --workers 2 --plugin "$plugin" &
    children+=($!)
    finish "$pid" 0
    seq 6 | awk '{ print; print }' | cmp - "$work/run.out" || fail "other results"
    expect 2 "$PTQ" pool worker twice --plugin /nonexistent.so
    expect 2 "$PTQ" pool worker twice --plugin "$plugin" --exec cat
    err_has 'or tasks with --plugin'
}

case_status_shows_every_worker_of_this_host() {
    mkfifo "$work/gate" "$work/at"
    export gate=$work/gate at=$work/at
    seq 3 >"$work/in"
    "$PTQ" pool run counts -j 1 --exec 'read n; [ $n != 2 ] || { echo at >"$at"; read go <"$gate"; }; echo $n' <"$work/in" >"$work/run.out" &
    children+=($!)
    pid=$!
    read -r _ <"$work/at"
    expect 0 "$PTQ" pool status counts --json
    json_is '.workers | length == 1'
    json_is '.workers[0] | .name == "worker-0" and .state == "works" and .done == 1 and .rss_bytes > 0'
    json_is ".head_pid == .workers[0].pid and .head == .workers[0].ticket"
    json_is '.averages.workers == 1 and .averages.working == 1 and .averages.done == 1'
    expect 0 "$PTQ" pool status counts
    out_has 'WORKER '
    out_has '1 worker on this host, 1 with a job'
    echo >"$gate"
    finish "$pid" 0
    no_pool_is_left
}

case_an_input_without_end_flows() {
    yes | "$PTQ" pool run -j 2 --exec cat 2>"$work/err" | head -n 300 >"$work/out"
    [ "$(grep -cx y "$work/out")" = 300 ] || fail "not 300 lines"
    no_pool_is_left
}

# A result is written while the next line has not come yet.
case_a_result_does_not_wait_for_the_next_line() {
    mkfifo "$work/in"
    "$PTQ" pool run -j 1 --exec 'tr a-z A-Z' <"$work/in" >"$work/run.out" &
    children+=($!)
    pid=$!
    exec 7>"$work/in"
    echo one >&7
    wait_for has_line "$work/run.out" ONE
    echo two >&7
    wait_for has_line "$work/run.out" TWO
    exec 7>&-
    finish "$pid" 0
}

case_the_line_of_a_killed_worker_is_run_again() {
    export mark=$work/mark
    seq 10 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --exec \
        'read n; if [ $n = 4 ] && mkdir "$mark" 2>/dev/null; then kill -KILL $PPID; fi; echo "$n:$PTQ_TRIES"'
    out_is 1:1 2:1 3:1 4:2 5:1 6:1 7:1 8:1 9:1 10:1
}

case_a_line_that_kills_its_workers_fails_in_the_end() {
    seq 5 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run -j 2 --lives 2 --exec 'read n; [ $n = 3 ] && kill -KILL $PPID; echo $n'
    out_is 1 2 4 5
    err_has 'line 3: 2 workers died while doing this job'
}

case_workers_join_by_name() {
    seq 50 >"$work/in"
    meet 3
    start one "$PTQ" pool worker squares --wait 20000 --name one --exec "$met"'; read n; echo $((n * n))'
    one=$pid
    start two "$PTQ" pool worker squares --wait 20000 --workers 2 --exec "$met"'; read n; echo $((n * n))'
    two=$pid
    expect_from 0 "$work/in" "$PTQ" pool run squares --no-workers
    seq 50 | awk '{ print $1 * $1 }' | cmp - "$work/out" || fail "other results"
    finish "$one" 0
    finish "$two" 0
    no_pool_is_left
}

status_is() {
    [ "$("$PTQ" pool status "$1" --json | jq -r ".$2")" = "$3" ]
}

case_status_and_stop() {
    mkfifo "$work/in"
    "$PTQ" pool run thumbs --no-workers <"$work/in" >"$work/run.out" 2>"$work/run.err" &
    pid=$!
    children+=("$pid")
    exec 7>"$work/in"
    seq 5 >&7
    wait_for status_is thumbs queued 5
    expect 0 "$PTQ" pool status thumbs
    out_has 'submitted 5'
    out_has 'head_pid -'
    expect 0 "$PTQ" pool stop thumbs
    expect 0 "$PTQ" pool status thumbs --json
    json_is '.v == 1 and .stopped and .queued == 5 and .window > 0'
    echo 6 >&7
    finish "$pid" 1
    has_line "$work/run.err" "was stopped" || fail "it does not say why"
    exec 7>&-
    expect 3 "$PTQ" pool status thumbs
    err_has 'no such pool'
}

case_a_signal_ends_it_and_leaves_nothing() {
    mkfifo "$work/in" "$work/gate"
    export gate=$work/gate
    "$PTQ" pool run -j 2 --exec 'echo at >"$gate"; exec sleep 1000' <"$work/in" >"$work/run.out" 2>"$work/run.err" &
    pid=$!
    children+=("$pid")
    exec 7>"$work/in"
    echo x >&7
    read -r _ <"$gate"
    kill -TERM "$pid"
    finish "$pid" 143
    no_pool_is_left
    exec 7>&-
}

case_a_killed_run_takes_its_workers_along_and_its_name_is_free_again() {
    mkfifo "$work/in" "$work/gate"
    export gate=$work/gate
    "$PTQ" pool run mine -j 1 --exec 'echo $$ $PPID >"$gate"; exec sleep 1000' <"$work/in" >"$work/run.out" &
    pid=$!
    children+=("$pid")
    exec 7>"$work/in"
    echo x >&7
    read -r command worker <"$gate"
    expect 1 "$PTQ" pool run mine --exec cat
    err_has 'exists already'
    kill -KILL "$pid"
    wait_for is_gone "$worker"
    wait_for is_gone "$command"
    exec 7>&-
    echo again >"$work/lines"
    expect_from 0 "$work/lines" "$PTQ" pool run mine --exec cat
    out_is again
    no_pool_is_left
}

case_a_worker_that_is_told_to_leave_finishes_its_job() {
    mkfifo "$work/in" "$work/gate" "$work/at"
    export gate=$work/gate at=$work/at
    "$PTQ" pool run mine --no-workers <"$work/in" >"$work/run.out" &
    run=$!
    children+=("$run")
    exec 7>"$work/in"
    start worker "$PTQ" pool worker mine --wait 20000 --exec 'echo at >"$at"; read go <"$gate"; echo done'
    echo x >&7
    read -r _ <"$work/at"
    kill -TERM "$pid"
    echo go >"$work/gate"
    finish "$pid" 0
    wait_for has_line "$work/run.out" done
    exec 7>&-
    finish "$run" 0
}

case_debug_tells_every_job_and_result_with_its_process() {
    printf 'a\nbb\n' >"$work/in"
    PTQ_DEBUG=proto expect_from 0 "$work/in" "$PTQ" pool run bare -j 1 --exec cat # with a name: its jobs are the lines
    out_is a bb
    local pattern='^ptq\[[0-9]+\] pool [^ ]+: '
    for step in submit takes 'hands in' get 'done with'; do
        [ "$(grep -Ec "$pattern.*$step" "$work/err")" -eq 2 ] || fail "not two of: $step"
    done
    pid_of() { sed -n "s/^ptq\[\([0-9]*\)\].*$1.*/\1/p" "$work/err" | sort -u; }
    [ "$(pid_of submit)" = "$(pid_of ' get ')" ] && [ "$(pid_of takes)" = "$(pid_of 'hands in')" ] &&
        [ "$(pid_of submit)" != "$(pid_of takes)" ] || fail "other processes"
    grep -Eq "takes ticket .*, [0-9]+ bytes, try 1$" "$work/err" && grep -Eq "get ticket .*PTQ_OK, [0-9]+ bytes$" "$work/err" || fail "other words"
    PTQ_DEBUG=loud expect 2 "$PTQ" ls
    err_has 'PTQ_DEBUG'
    expect 0 "$PTQ" ls
    nothing_said
}

case_wrong_use_is_told() {
    expect 2 "$PTQ" pool
    expect 2 "$PTQ" pool walk
    expect 2 "$PTQ" pool run
    err_has -- '--exec'
    expect 2 "$PTQ" pool run --no-workers
    expect 2 "$PTQ" pool run --exec cat --line-size 2G
    expect 2 "$PTQ" pool worker x
    expect 2 "$PTQ" --ptq-worker
    expect 3 "$PTQ" pool worker none --exec cat
    expect 3 "$PTQ" pool stop none
    expect 3 "$PTQ" pool rm none
    err_has 'no such pool'
    expect 2 "$PTQ" pool run 'no/name' --exec cat
    expect 0 "$PTQ" pool --help
    out_has 'ptq pool worker'
    expect 0 "$PTQ" pool run --help
}

run_cases
