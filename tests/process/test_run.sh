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
    expect 1 "$PTQ" pool run -j 2 --timeout 3000 --joblog "$work/log" -- 'echo {}; test {} != 2 || { sleep 1000 & echo $! >'"$work/pid"'; wait; }' ::: 1 2 3
    out_is 1 2 3
    err_is 'ptq: job 2: not done in time: it was ended after 3000 ms, as --timeout says - give it more, or try it again with --retries'
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
    export go=$work/go
    seq 300 >"$work/in"
    seq 300 | sed 's/.*/& a&/' >"$work/wanted"
    : >"$work/results"
    while :; do
        "$PTQ" pool run -j 2 --joblog "$work/log" --resume -- \
            'until [ {} != 300 ] || [ -e "$go" ]; do sleep 0.01; done; printf "%s " {}; echo a{}' \
            <"$work/in" >>"$work/results" 2>"$work/err" &
        pid=$!
        children+=("$pid")
        wait=$((RANDOM % 120 + 30))
        [ "$kills" -ge "${long:-3}" ] || { read -rt "0.$(printf %03d $wait)" <>"$work/never"; kill -KILL "$pid" 2>/dev/null; }
        wait "$pid" 2>/dev/null
        code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 137 ] || fail "it ended with $code"
        kills=$((kills + 1))
        [ "$kills" -lt "${long:-3}" ] || : >"$go" # until then the last line is not done
    done
    cmp "$work/wanted" "$work/results" || fail "other results after $kills kills"
    [ "$kills" -eq "${long:-3}" ] || fail "it was killed $kills times"
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

case_unordered_output_comes_as_jobs_end() {
    seq 100 >"$work/in"
    # In order this could never end: the last line is far beyond the window of the first.
    timeout 100 "$PTQ" pool run -j 2 --unordered -- \
        "if [ {} = 1 ]; then while [ ! -e $work/go ]; do sleep 0.01; done; elif [ {} = 100 ]; then : >$work/go; fi; echo a{}; echo b{}" \
        <"$work/in" >"$work/out" 2>"$work/err" || fail "$(cat "$work/err")"
    grep -A 1 '^a1$' "$work/out" | tail -1 | grep -qx b1 || fail "an output is not whole"
    [ "$(grep -n '^a1$' "$work/out" | cut -d: -f1)" -ge 190 ] || fail "the first was waited for"
    grep '^a' "$work/out" | tr -d a | sort -n | cmp - "$work/in" || fail "no permutation"
    expect 2 "$PTQ" pool run --unordered --keep-order -- true
    no_pool_is_left
}

case_unordered_runs_are_taken_up() {
    seq 20 >"$work/in"
    "$PTQ" pool run -j 3 --unordered --tag --joblog "$work/log" -- 'sleep 0.0$((20 - {})); printf "%s\nend" {}' <"$work/in" >"$work/all" ||
        fail "it failed"
    [ "$(awk 'NR > 1 { sum += $6 } END { print sum }' "$work/log")" = "$(stat -c %s "$work/all")" ] || fail "Receive is not what came out"
    for cut in 0 1 3; do # nothing of the seventh row's output is written, a part, all
        head -7 "$work/log" >"$work/cut.log"
        bytes=$(awk 'NR > 1 { sum += $6 } END { print sum }' "$work/cut.log")
        row=$(sed -n 8p "$work/log")
        printf %s "$row" >>"$work/cut.log"
        received=$(printf %s "$row" | cut -f6)
        [ $cut != 3 ] || cut=$received
        head -c $((bytes + cut)) "$work/all" >"$work/results"
        "$PTQ" pool run -j 3 --unordered --tag --joblog "$work/cut.log" --resume -- 'sleep 0.0$((20 - {})); printf "%s\nend" {}' \
            <"$work/in" >>"$work/results" 2>"$work/err" || fail "$(cat "$work/err")"
        [ ! -s "$work/err" ] || fail "it said: $(cat "$work/err")"
        grep -ao '[0-9]*	[0-9]*$' "$work/results" | cut -f2 | sort -n | cmp - "$work/in" || fail "cut $cut: not each once"
        [ "$(stat -c %s "$work/results")" = "$(stat -c %s "$work/all")" ] || fail "cut $cut: other bytes"
    done
}

case_a_tag_begins_each_line() {
    printf '%s\n' one 'two words' >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --tag -- 'printf "a\n\nb\n"; echo e >&2; : {}'
    printf '%s\ta\n%s\t\n%s\tb\n' one one one 'two words' 'two words' 'two words' | cmp - "$work/out" || fail "$(cat "$work/out")"
    printf '%s\te\n' one 'two words' | cmp - "$work/err" || fail "$(cat "$work/err")"
    expect 0 "$PTQ" pool run --tag -- echo {2} ::: a b ::: 1 2
    out_is 'a 1	1' 'a 2	2' 'b 1	1' 'b 2	2'
    always=yes as_parallel "$work/in" --tag -- 'echo x; echo {} y'
    # more than a result holds, with lines that lie across what is read at once
    printf '%s\n' 1 2 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run --tag -- 'seq 40000; : {}'
    for i in 1 2; do seq 40000 | sed "s/^/$i	/"; done | cmp - "$work/out" || fail "a large output"
    expect 2 "$PTQ" pool run --tag --exec cat
}

case_blocks_are_whole_lines_and_all_of_the_input() {
    { seq 20000; printf 'no end'; } >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --pipe --block 5000 -- cat
    cmp "$work/in" "$work/out" || fail "other bytes"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --pipe -- cat
    cmp "$work/in" "$work/out" || fail "other bytes in blocks of the usual size"
    seq 20000 >"$work/in"
    expect_from 0 "$work/in" "$PTQ" pool run -j 2 --pipe --block 5000 -- "tee $work/block.{#} | wc -c"
    [ "$(awk '$1 > 5000 || (last != "" && last + 6 <= 5000) { print } { last = $1 }' "$work/out" | wc -l)" = 0 ] || fail "$(cat "$work/out")"
    for block in "$work"/block.*; do
        [ "$(tail -c 1 "$block" | od -An -c | tr -d ' ')" = '\n' ] || fail "$block ends within a line"
    done
    expect_from 0 "$work/in" "$PTQ" pool run --pipe --max-args 7000 -- wc -l
    out_is 7000 7000 6000
    tr '\n' '\0' <"$work/in" >"$work/zero"
    expect_from 0 "$work/zero" "$PTQ" pool run -0 --pipe --block 3000 -- cat
    cmp "$work/zero" "$work/out" || fail "other bytes between zero bytes"
    expect_from 0 "$work/in" "$PTQ" pool run -j 3 --unordered --pipe --block 2000 -- cat
    sort -n "$work/out" | cmp - "$work/in" || fail "no permutation"
    printf 'short\n%02000d\nshort\n' 7 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run --pipe --block 1000 --line-size 100 -- cat
    out_is short short
    err_has "line 2: 2000 bytes do not fit: the longest line is 1000 - give a larger --block"
    printf 'a' >"$work/a"
    printf 'b' >"$work/b"
    expect 0 "$PTQ" pool run --pipe -a "$work/a" -a "$work/b" -- cat
    printf 'a\nb' | cmp - "$work/out" || fail "files run into each other"
    no_pool_is_left
}

case_blocks_have_codes_and_a_log() {
    seq 30 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run --pipe -n 10 --joblog "$work/log" -- 'grep -v 15; ! [ {#} = 2 ]'
    [ "$(wc -l <"$work/out")" = 29 ] || fail "what failed has no output"
    awk -F'\t' 'NR > 1 && $5 == 0' "$work/log" | grep . && fail "nothing was sent"
    expect_from 1 "$work/in" "$PTQ" pool run --pipe -n 10 --joblog "$work/log" --resume-failed -- 'grep -v 15; ! [ {#} = 2 ]'
    [ "$(wc -l <"$work/out")" = 9 ] || fail "not the second alone"
    expect_from 0 "$work/in" "$PTQ" pool run --pipe -n 10 --joblog "$work/log" --resume -- 'grep -v 15; ! [ {#} = 2 ]'
    [ ! -s "$work/out" ] || fail "it was done again"
    seq 2 31 >"$work/other"
    expect_from 255 "$work/other" "$PTQ" pool run --pipe -n 10 --joblog "$work/log" --resume -- 'grep -v 15; ! [ {#} = 2 ]'
    err_has "was another command there"
    for wrong in '--pipe --exec cat' '--pipe --tag -- cat' '--pipe --xargs -- cat' '--block 10 -- cat' '--pipe -- cat ::: a'; do
        # shellcheck disable=SC2086
        expect 2 "$PTQ" pool run $wrong
    done
}

case_results_stand_in_files_of_their_own() {
    seq 12 >"$work/in"
    expect_from 1 "$work/in" "$PTQ" pool run -j 2 --tag --results "$work/kept" -- 'echo o{}; echo e{} >&2; seq 9000; test {} != 5'
    [ "$(wc -l <"$work/out")" = $((12 * 9001)) ] || fail "it is not on standard output, too"
    for i in $(seq 12); do
        { echo "o$i"; seq 9000; } | cmp - "$work/kept/$i/stdout" || fail "stdout of $i"
        echo "e$i" | cmp - "$work/kept/$i/stderr" || fail "stderr of $i"
        grep -q "^echo o$i;" "$work/kept/$i/command" || fail "command of $i"
    done
    [ "$(ls "$work/kept" | wc -l)" = 12 ] || fail "other folders"
    expect 255 "$PTQ" pool run --results "$work/in/no" -- echo ::: 1
    err_has "cannot make the folder of --results"
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
    # What was drawn before a line of output is erased when that comes.
    sed 's/\r*$//; s/.*\r\x1b\[K//' "$work/seen" | grep -qx 17 || fail "an output is spoilt: $(cat -v "$work/seen")"
}

case_a_plain_pool_knows_tries_time_and_log_too() {
    seq 3 >"$work/in"
    export mark=$work/mark
    expect_from 1 "$work/in" "$PTQ" pool run named --retries 2 --timeout 60s --joblog "$work/log" --exec \
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
