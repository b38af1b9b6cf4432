#!/bin/bash
# lib.sh -- what the scripts of tests/tools share: a scratch bus a case, expectations, deadlines.
#
# A script defines functions case_NAME and ends with `run_cases`.  Each case runs in a subshell with a bus and a folder ($work) of its
# own; what it starts with `start` is ended by its own pid.  An expectation that does not hold ends the case.
set -u
export LC_ALL=C.UTF-8
unset PTQ_PEERS PTQ_NODE PTQ_KEYS PTQ_INSECURE NO_COLOR CLICOLOR_FORCE
export PTQ=$1 PTQTOP=$2 TERM=dumb
scratch=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
deadline_seconds=${PTQ_TEST_DEADLINE:-30}

fail() {
    echo "  line ${BASH_LINENO[*]}: $*" >&2
    for stream in out err; do
        [ -s "$work/$stream" ] && sed "s/^/  $stream: /" "$work/$stream" | head -20 >&2
    done
    exit 1
}

# expect CODE COMMAND...: runs it, keeps its output in $work/out and $work/err.
expect() {
    local code=$1
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null
    local got=$?
    [ $got -eq "$code" ] || fail "exit $got instead of $code: $*"
}

# The same with standard input from a file.
expect_from() {
    local code=$1 input=$2
    shift 2
    "$@" >"$work/out" 2>"$work/err" <"$input"
    local got=$?
    [ $got -eq "$code" ] || fail "exit $got instead of $code: $* < $input"
}

out_is() {
    printf '%s\n' "$@" | cmp -s - "$work/out" || fail "standard output is not: $*"
}

out_has() {
    grep -qF -- "$1" "$work/out" || fail "standard output lacks: $1"
}

out_is_empty() {
    [ ! -s "$work/out" ] || fail "there is output"
}

# json_is FILTER: a jq filter that is true of standard output.
json_is() {
    jq -e "$1" "$work/out" >/dev/null || fail "not true: $1"
}

err_is() {
    printf '%s\n' "$@" | cmp -s - "$work/err" || fail "standard error is not: $*"
}

err_has() {
    grep -qF -- "$1" "$work/err" || fail "standard error lacks: $1"
}

nothing_said() {
    [ ! -s "$work/err" ] || fail "standard error is not empty"
}

# figure QUEUE KEY NUMBER
figure() {
    local got
    got=$("$PTQ" stats "$1" "$2") || fail "no figure $2 of $1"
    [ "$got" = "$3" ] || fail "$2 of $1 is $got instead of $3"
}

# wait_for COMMAND...: until it is true, or the deadline.
wait_for() {
    local end=$((SECONDS + deadline_seconds))
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited too long for: $*"
        read -rt 0.02 <>"$work/never" || true
    done
}

figure_is() {
    [ "$("$PTQ" stats "$1" "$2" 2>/dev/null)" = "$3" ]
}

has_line() {
    grep -qF -- "$2" "$1" 2>/dev/null
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# is_stopped PID: SIGSTOP has had its effect.
is_stopped() {
    grep -q '^State:.T' "/proc/$1/status" 2>/dev/null
}

# catches PID SIGNAL: it has a handler for that.  ptq has them when it has opened what it works on.
catches() {
    local caught
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null)
    [ -n "$caught" ] && [ $((0x$caught >> ($(kill -l "$2") - 1) & 1)) = 1 ]
}

# start NAME COMMAND...: in the background; $pid, output in $work/NAME.out and .err.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.err" </dev/null &
    pid=$!
    children+=("$pid")
}

# finish PID CODE: it ends by itself, with that code.
finish() {
    wait_for is_gone "$1"
    wait "$1"
    local got=$?
    [ $got -eq "$2" ] || fail "process ended with $got instead of $2"
    forget "$1"
}

# forget PID: it is none of ours any more, and in time somebody else's.
forget() {
    local child left=()
    for child in "${children[@]}"; do
        [ "$child" = "$1" ] || left+=("$child")
    done
    children=("${left[@]}")
}

# meet COUNT: $met are words for a command of workers.  Each waits with its first job until as many workers have one, so that none comes too late.
meet() {
    mkdir "$work/met"
    met=": >'$work/met/'\$PPID; until set -- '$work/met'/* && [ \$# -ge $1 ]; do sleep 0.01; done"
}

end_children() {
    local child
    for child in "${children[@]}"; do
        kill -KILL "$child" 2>/dev/null
    done
    [ ${#children[@]} -eq 0 ] || wait "${children[@]}" 2>/dev/null # they may still make files in what is removed now
}

run_case() (
    work=$scratch/$1
    children=()
    mkdir "$work"
    mkfifo "$work/never"
    export PTQ_DIR=$work/bus PTQ_RUN=test
    trap end_children EXIT
    "$1"
)

run_cases() {
    local case failed=0
    for case in $(declare -F | sed -n 's/^declare -f \(case_.*\)/\1/p'); do
        if run_case "$case"; then
            echo "ok $case"
        else
            echo "NOT OK $case"
            failed=1
        fi
        rm -rf "${scratch:?}/$case"
    done
    exit $failed
}
