#!/bin/bash
# test_run.sh -- ptq pool run -- COMMAND: as good as a loop that runs one line after the other, and as parallel -k where that is installed.
#
# With a number as the third argument: more comparisons with parallel, and so many kills.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/../tools/lib.sh"
long=${3:-}

no_pool_is_left() {
    [ -z "$(ls "$PTQ_DIR/test" 2>/dev/null)" ] || fail "left behind: $(ls "$PTQ_DIR/test")"
}

has_parallel() {
    [ -n "$long" ] && command -v parallel >/dev/null
}

# as_parallel INPUT OPTION... -- COMMAND...: the same standard output, standard error and exit code.
as_parallel() {
    local input=$1
    shift
    has_parallel || [ -n "${always:-}" ] && command -v parallel >/dev/null || return 0
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    HOME=$work PARALLEL_SHELL=/bin/sh parallel --will-cite -k -j2 "${options[@]}" "${@:2}" <"$input" >"$work/p.out" 2>"$work/p.err"
    local wanted=$?
    expect_from $wanted "$input" "$PTQ" pool run -j 2 "${options[@]}" "$@"
    cmp "$work/p.out" "$work/out" || fail "not as parallel: $*"
    cmp "$work/p.err" "$work/err" || fail "other words than parallel: $*"
}

case_both_streams_are_those_of_one_line_after_the_other() {
    seq 60 >"$work/in"
    while read -r n; do
        sh -c "echo out $n; echo err $n >&2; seq $((n * 7)); printf 'no end %s' $n; seq $((n * 3)) >&2"
    done <"$work/in" >"$work/wanted.out" 2>"$work/wanted.err"
    expect_from 0 "$work/in" "$PTQ" pool run -j 4 -- \
        'echo out {}; echo err {} >&2; seq $(({} * 7)); printf "no end %s" {}; seq $(({} * 3)) >&2'
    cmp "$work/wanted.out" "$work/out" || fail "other output"
    cmp "$work/wanted.err" "$work/err" || fail "other words"
    no_pool_is_left
}

case_places_are_filled_as_parallel_does() {
    printf '%s\n' /x/y/z.tar.gz plain 'two words' "it's" '$(touch /nowhere)' 'a/b.c/d' '.hidden' '' '-n' 'ä*?' >"$work/in"
    always=yes as_parallel "$work/in" -- printf '"[%s]\n"' {} {.} {/} {//} {/.} {#}
    as_parallel "$work/in" -- printf '"<%s>\n"'
    as_parallel "$work/in" -n 3 -- printf '"<%s>\n"' {2} {1/} {3.} {} {#}
    as_parallel "$work/in" -- 'printf %s {} | wc -c'
    expect 0 "$PTQ" pool run -- echo {1}-{2} {9} ::: a 'b c' ::: 1 2
    out_is 'a-1' 'a-2' 'b c-1' 'b c-2'
    printf 'a:b:\n::c\n' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --colsep : -- echo '[{3}{2}{1}]'
    out_is '[ba]' '[c]'
    expect_from 0 "$work/in" "$PTQ" pool run -- echo '{0} { {a}' '{}}'
    out_is '{0} { {a} a:b:}' '{0} { {a} ::c}'
}

case_exit_codes_are_parallels() {
    seq 7 >"$work/in"
    as_parallel "$work/in" -- 'test {} != 3 && test {} != 5'
    expect_from 2 "$work/in" "$PTQ" pool run -- 'test {} != 3 && test {} != 5'
    nothing_said
    seq 102 >"$work/in"
    expect_from 101 "$work/in" "$PTQ" pool run -- false
    expect_from 0 "$work/in" "$PTQ" pool run -- true
    expect 255 "$PTQ" pool run -a "$work/nowhere" -- true
    err_has 'cannot open: No such file'
    expect 2 "$PTQ" pool run -- nowhere/nothing ::: 1 2
    err_has 'not found'
}

case_zero_bytes_files_and_several_lines_a_job() {
    printf 'a b\0c\nd\0e' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -0 -- printf '"[%s]\n"'
    out_is '[a b]' '[c' 'd]' '[e]'
    seq 3 >"$work/one"
    printf '7\n8' >"$work/two"
    expect 0 "$PTQ" pool run -a "$work/one" -a "$work/two" -n 2 -- echo
    out_is '1 2' '3 7' '8'
    expect 0 "$PTQ" pool run -a "$work/one" -a "$work/two" -n 2 --exec 'cat; echo .'
    out_is 1 2 . 3 7 . 8 .
    seq 40000 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --xargs -- echo
    [ "$(wc -l <"$work/out")" = 2 ] || fail "$(wc -l <"$work/out") commands"
    tr ' ' '\n' <"$work/out" | cmp - "$work/in" || fail "other arguments"
    expect_from 0 "$work/in" "$PTQ" pool run --xargs -n 10000 -- 'echo {} | wc -w'
    out_is 10000 10000 10000 10000
    expect_from 1 "$work/in" "$PTQ" pool run -n 39999 -- 'echo {} | wc -w'
    out_is 1
    err_has 'job 1: a command of '
    printf 'x\0y\nz\n' >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run -- echo
    out_is z
    err_has 'line 1: it has a zero byte'
}

case_an_output_of_any_size_keeps_its_place() {
    seq 200000 >"$work/wanted"
    seq 300000 >>"$work/wanted"
    seq 3 >>"$work/wanted"
    expect 0 "$PTQ" pool run -j 3 -- 'seq {} | tee /dev/stderr' ::: 200000 300000 3
    cmp "$work/wanted" "$work/out" || fail "other output"
    cmp "$work/wanted" "$work/err" || fail "other words"
    expect 0 "$PTQ" pool run --exec 'seq 200000; seq 300000; printf "1\n2\n3"' -a <(echo)
    cmp "$work/wanted" "$work/out" || fail "other output of --exec"
}

case_only_the_last_try_counts_and_shows() {
    mkdir "$work/tries"
    expect 1 "$PTQ" pool run --retries 3 --joblog "$work/log" -- "echo x >>$work/tries/{}; echo {}; test \$(wc -l <$work/tries/{}) = {}" ::: 1 3 4
    out_is 1 3 4
    [ "$(cat "$work"/tries/* | wc -l)" = 7 ] || fail "other tries"
    [ "$(cut -f 1,7 "$work/log" | tail -n 3 | tr '\t\n' ' ,')" = '1 0,2 0,3 1,' ] || fail "the log has another end"
}

case_what_takes_too_long_is_ended_with_all_it_has_started() {
    expect 1 "$PTQ" pool run -j 2 --timeout 200 --joblog "$work/log" -- 'echo {}; test {} != 2 || { sleep 1000 & echo $! >'"$work/pid"'; wait; }' ::: 1 2 3
    out_is 1 2 3
    err_is 'ptq: job 2: not done in time: it was ended after 200 ms, as --timeout says'
    wait_for is_gone "$(cat "$work/pid")"
    [ "$(cut -f 7,8 "$work/log" | sed -n 3p)" = "$(printf -- '-1\t15')" ] || fail "the log has another end"
}

case_it_gives_up_when_it_is_told_to() {
    mkfifo "$work/gate"
    seq 500 >"$work/in"
    expect_from 7 "$work/in" "$PTQ" pool run -j 2 --halt soon,fail=2 -- 'echo {}; test {} -lt 20 || exit 7'
    seq "$(wc -l <"$work/out")" | cmp - "$work/out" || fail "not the beginning"
    [ "$(wc -l <"$work/out")" -lt 30 ] || fail "it went on"
    err_has 'no more jobs are begun: --halt soon,fail=2'
    expect 3 "$PTQ" pool run -j 2 --halt now,fail=1 -- "test {} = 2 && { read go <$work/gate; exit 3; }; echo at >$work/gate; sleep 1000" ::: 1 2 3
    expect 0 "$PTQ" pool run -j 1 --halt soon,success=1 -- 'echo {}; test {} = 3' ::: 1 2 3 4 5 6
    out_is 1 2 3
    expect 4 "$PTQ" pool run -j 1 --halt soon,fail=50% -- 'exit {}' ::: 0 0 0 4 4 4 4 5 5 >/dev/null
    expect 2 "$PTQ" pool run --halt never,fail=1 -- true ::: 1
    err_has 'never,fail=1'
    no_pool_is_left
}

case_the_log_has_parallels_columns() {
    seq 4 >"$work/in"
    expect_from 2 "$work/in" "$PTQ" pool run --joblog "$work/log" -- 'printf %s {}{}; test {} != 2 || exit 9; test {} != 3 || kill -TERM $$'
    [ "$(head -n 1 "$work/log")" = "$(printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand')" ] || fail "other columns"
    cut -f 1,2,6-8 "$work/log" | tail -n 4 | tr '\t' ' ' >"$work/out"
    out_is '1 : 2 0 0' '2 : 2 9 0' '3 : 2 0 15' '4 : 2 0 0'
    has_parallel || return 0
    HOME=$work PARALLEL_SHELL=/bin/sh parallel --will-cite -k --joblog "$work/p.log" 'printf %s {}{}; test {} != 2 || exit 9; test {} != 3 || kill -TERM $$' \
        <"$work/in" >/dev/null 2>&1
    diff <(cut -f 1,2,5- "$work/log") <(sort -n "$work/p.log" | cut -f 1,2,5-) || fail "not as parallel's"
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/p.log" --resume -- \
        'printf %s {}{}; test {} != 2 || exit 9; test {} != 3 || kill -TERM $$'
    out_is_empty # the whole of parallel's log is understood
}

case_a_run_is_taken_up_where_it_stopped() {
    local flag=$work/flag
    export flag
    seq 6 >"$work/in"
    expect_from 5 "$work/in" "$PTQ" pool run -j 1 --joblog "$work/log" --halt now,fail=1 -- 'echo {}; test {} != 4 || test -e $flag || exit 5'
    out_is 1 2 3 4
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume -- 'echo {}; test {} != 4 || test -e $flag || exit 5'
    out_is 5 6
    touch "$flag"
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume-failed -- 'echo {}; test {} != 4 || test -e $flag || exit 5'
    out_is 4
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume-failed -- 'echo {}; test {} != 4 || test -e $flag || exit 5'
    out_is_empty
    expect_from 255 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume -- 'echo {} other'
    err_has 'job 1 was another command there'
    echo nonsense >"$work/log"
    expect_from 255 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume -- 'echo {}'
    err_has 'line 1 is not of a job log'
    expect 2 "$PTQ" pool run --resume -- true
    err_has 'give it with --joblog'
    seq 3 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run --joblog "$work/log" --exec 'read n; echo $n; test $n != 2'
    out_is 1 3
    expect_from 1 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume-failed --exec 'read n; echo $n; test $n != 2'
    out_is_empty
    err_has 'line 2: '
}

# Killed at any moment, again and again, it does each line once in the file of results: no line is missing, none is there twice.
case_a_killed_run_is_taken_up_without_loss_or_double() {
    local kills=0 code wait
    seq 300 >"$work/in"
    seq 300 | sed 's/.*/& a&/' >"$work/wanted"
    : >"$work/results"
    while :; do
        "$PTQ" pool run -j 2 --joblog "$work/log" --resume -- 'printf "%s " {}; echo a{}' <"$work/in" >>"$work/results" 2>"$work/err" &
        pid=$!
        children+=("$pid")
        wait=$((RANDOM % 120 + 30))
        [ "$kills" -ge "${long:-3}" ] || { read -rt "0.$(printf %03d $wait)" <>"$work/never"; kill -KILL "$pid" 2>/dev/null; }
        wait "$pid" 2>/dev/null
        code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 137 ] || fail "it ended with $code"
        kills=$((kills + 1))
    done
    cmp "$work/wanted" "$work/results" || fail "other results after $kills kills"
    [ "$kills" -gt 0 ] || fail "it was never killed"
    [ "$(wc -l <"$work/log")" = 301 ] || fail "$(wc -l <"$work/log") rows"
    wait_for the_next_run_leaves_nothing
}

# The pools of runs that were killed go with the next one, when their workers have gone.
the_next_run_leaves_nothing() {
    "$PTQ" pool run -- true ::: x || fail "it failed"
    [ -z "$(ls "$PTQ_DIR/test")" ]
}

# What was being written when it was killed is done again, and where nobody can tell how much of it was written, that is said.
case_a_row_without_an_end_is_told_or_put_right() {
    seq 3 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/log" -- echo
    cp "$work/log" "$work/whole"
    for part in '' 3 $'3\n'; do
        head -c -1 "$work/whole" >"$work/log"
        printf '1\n2\n%s' "$part" >"$work/results"
        "$PTQ" pool run --joblog "$work/log" --resume -- echo <"$work/in" >>"$work/results" 2>"$work/err" || fail "it failed"
        nothing_said
        seq 3 | cmp - "$work/results" || fail "put right otherwise: '$part'"
        [ "$(wc -l <"$work/log")" = 4 ] || fail "$(wc -l <"$work/log") rows"
    done
    head -c -1 "$work/whole" >"$work/log"
    "$PTQ" pool run --joblog "$work/log" --resume -- echo <"$work/in" 2>"$work/err" | cat >"$work/out"
    out_is 3
    err_has 'job 3 had ended, and its output was being written'
    head -c -9 "$work/whole" >"$work/log"
    expect_from 0 "$work/in" "$PTQ" pool run --joblog "$work/log" --resume -- echo
    out_is 3
}

case_killed_workers_cost_nothing() {
    export mark=$work/mark
    mkdir "$mark"
    seq 60 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 3 -- \
        'echo {}; echo e{} >&2; if test $(({} % 7)) = 3 && mkdir $mark/{} 2>/dev/null; then kill -KILL $PPID; fi; seq $(({} * 200))'
    for n in $(seq 60); do echo "$n"; seq $((n * 200)); done | cmp - "$work/out" || fail "other output"
    seq 60 | sed s/^/e/ | cmp - "$work/err" || fail "other words"
    expect 1 "$PTQ" pool run -j 2 --lives 2 --joblog "$work/log" -- 'test {} != 2 || kill -KILL $PPID; echo {}' ::: 1 2 3
    out_is 1 3
    err_has 'job 2: 2 workers died while doing this job'
    [ "$(cut -f 7 "$work/log" | sed -n 3p)" = -1 ] || fail "the log has another end"
    no_pool_is_left
}

case_a_dry_run_prints_and_runs_nothing() {
    expect 0 "$PTQ" pool run --dry-run --joblog "$work/log" -- "touch $work/x {} {.}" ::: a.b 'c d'
    out_is "touch $work/x a.b a" "touch $work/x 'c d' 'c d'"
    [ ! -e "$work/x" ] && [ ! -e "$work/log" ] || fail "it did something"
}

case_progress_is_shown_on_a_terminal_only() {
    seq 40 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --bar --eta -- echo
    cmp "$work/in" "$work/out" || fail "other output"
    nothing_said
    command -v script >/dev/null || return 0
    TERM=xterm script -qec "'$PTQ' pool run --bar -- 'sleep 0.02; true' <$work/in" "$work/seen" >/dev/null </dev/null || fail "script failed"
    grep -q '100% 40/40' "$work/seen" || fail "no progress: $(cat -v "$work/seen")"
    grep -q '##' "$work/seen" || fail "no bar"
    TERM=xterm script -qec "seq 40 | '$PTQ' pool run --eta -- echo" "$work/seen" >/dev/null </dev/null || fail "script failed"
    tr -d '\r' <"$work/seen" | grep -qx 17 || fail "an output is spoilt: $(cat -v "$work/seen")"
}

case_a_plain_pool_knows_tries_time_and_log_too() {
    seq 3 >"$work/in"
    export mark=$work/mark
    expect_from 1 "$work/in" "$PTQ" pool run named --retries 2 --timeout 2s --joblog "$work/log" --exec \
        'read n; test $n != 2 || mkdir $mark || true; test $n != 3 || exit 4; test $n != 1 || mkdir $mark.1 2>/dev/null && echo $n'
    cut -f 1,7,8 "$work/log" | tail -n 3 | tr '\t' ' ' >"$work/out"
    out_is '1 0 0' '2 0 0' '3 4 0'
    no_pool_is_left
}

case_wrong_use_is_told() {
    expect 2 "$PTQ" pool run --exec cat -- cat
    err_has 'either with --exec or behind --'
    expect 2 "$PTQ" pool run cat
    err_has -- '-- COMMAND [ARG]...'
    expect 2 "$PTQ" pool run one two -- cat
    expect 2 "$PTQ" pool run x --no-workers -- cat
    expect 2 "$PTQ" pool run --xargs --exec cat
    expect 2 "$PTQ" pool run --timeout soon -- cat
    expect 2 "$PTQ" pool run --retries 0 -- cat
    TMPDIR=$work/nowhere expect 255 "$PTQ" pool run -- cat ::: x
    err_has 'set TMPDIR to another folder'
    no_pool_is_left
}

run_cases
