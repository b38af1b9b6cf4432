#!/bin/bash
# test_screen.sh -- ptqtop's screen, seen through tmux: keys, sizes, and a terminal that is given back.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

# screen COMMAND...: tmux with a server of our own.
screen() {
    tmux -S "$work/tmux${socket:-}" -f /dev/null "$@"
}

end_screen() {
    screen kill-server 2>/dev/null
    end_children
}

# open ARGUMENT...: a shell in which ptqtop runs; its prompt tells when ptqtop has left.
open() {
    open_shell
    type "\"$PTQTOP\" $*" Enter
}

open_shell() {
    trap end_screen EXIT
    screen new-session -d -x "${columns:-150}" -y "${rows:-24}" "env PS1='left=\$? ' bash --norc --noprofile" || fail "no tmux"
    screen set -g default-terminal screen-256color
    wait_for seen 'left=0'
}

type() {
    screen send-keys "$@"
}

look() {
    screen capture-pane -p >"$work/out" 2>/dev/null
}

seen() {
    look
    grep -qF -- "$1" "$work/out"
}

unseen() {
    look
    ! grep -qF -- "$1" "$work/out"
}

leave() {
    type q
    wait_for seen 'left=0 '
    [ "$(tail -n +1 "$work/out" | grep -c 'READY')" -eq 0 ] || fail "the screen was not given back"
}

fill() {
    "$PTQ" create alpha --capacity 10 && "$PTQ" create beta && "$PTQ" put alpha x -n 5 || fail "cannot fill"
}

case_the_table_lives() {
    fill
    open -d 0.2
    wait_for seen 'alpha'
    wait_for seen 'OUT/s'
    wait_for seen '50%'
    wait_for seen '2 queues'
    expect 0 "$PTQ" put alpha x -n 5
    wait_for seen '100%'
    expect 0 "$PTQ" create gamma
    wait_for seen 'gamma'
    expect 0 "$PTQ" rm gamma
    wait_for unseen 'gamma'
    leave
}

case_w_shows_workers_and_their_lanes() {
    mkfifo "$work/hold"
    echo 1 >"$work/in"
    "$PTQ" pool run slow --workers 1 --exec "cat '$work/hold'" <"$work/in" >"$work/run" &
    local pool=$!
    children+=("$pool")
    open -d 0.2
    wait_for seen 'slow.jobs'
    type w
    wait_for seen 'worker-0  slow'
    wait_for seen '▔▔▔▔'
    wait_for seen 'LANE'
    type 1
    wait_for seen 'slow.jobs'
    wait_for unseen 'worker-0'
    type 4
    wait_for seen 'worker-0  slow'
    type '?'
    wait_for seen 'queues, processes, links'
    type '?'
    wait_for seen 'worker-0  slow'
    echo >"$work/hold"
    finish "$pool" 0
    wait_for seen 'no pool is here'
    leave
}

case_keys_sort_filter_pause_and_show_help() {
    fill
    open -d 0.2
    wait_for seen 'sort QUEUE'
    type '>' '>' '>'
    wait_for seen 'sort DEPTH'
    type I
    wait_for seen 'sort DEPTH reversed'
    type '\' 'b' 'e' 't'
    wait_for unseen 'alpha'
    wait_for seen 'filter: bet_'
    type Enter
    wait_for seen 'filter bet'
    type F4 Escape
    wait_for seen 'alpha'
    type '/' 'b' 'e' 't' Enter Enter
    wait_for seen 'beta  (queue)'
    type Escape
    type p
    wait_for seen 'PAUSED'
    type p
    wait_for unseen 'PAUSED'
    type '?'
    wait_for seen 'by pages, to the first'
    type Escape
    wait_for seen 'beta'
    leave
}

case_enter_shows_one_queue() {
    fill
    start get "$PTQ" get beta
    wait_for figure_is beta endpoints 1
    open -d 0.2
    wait_for seen 'beta'
    type Down Enter
    wait_for seen 'beta  (queue)'
    wait_for seen "$pid  ptq"
    type Escape
    wait_for seen 'alpha'
    leave
}

case_wide_tables_scroll_behind_the_names() {
    fill
    columns=60
    open -d 0.2
    wait_for seen 'FLAGS' # what matters most is there
    unseen 'KIND' || fail "it all fits"
    type Right # all columns, cut
    wait_for seen 'LEASED'
    unseen 'REDLV/s' || fail "it all fits"
    type Right Right Right Right Right Right Right Right Right Right Right
    wait_for seen 'REDLV/s'
    wait_for seen 'alpha'
    type Left Left Left Left Left Left Left Left Left Left Left Left
    wait_for unseen 'KIND'
    wait_for seen 'FLAGS'
    leave
}

case_any_size_will_do() {
    fill
    open -d 0.2
    wait_for seen 'alpha'
    for size in 20x5 1x1 300x100 80x2 40x24; do
        screen resize-window -x "${size%x*}" -y "${size#*x}"
        type Down '?' Escape Enter Escape
    done
    screen resize-window -x 150 -y 24
    wait_for seen 'alpha'
    leave
}

# ptqtop, not its guard.
top_pid() {
    local pid
    for pid in $(descendants "$(screen list-panes -F '#{pane_pid}')"); do
        [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$PTQTOP")" ] && echo "$pid" && return
    done
}

descendants() {
    local child
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}

case_a_signal_gives_the_terminal_back() {
    fill
    for signal in TERM HUP SEGV ABRT; do
        socket=$signal # a server that ends may still take the next one's name
        open_shell
        # a shell without job control, which leaves the terminal as it finds it
        type "sh -c '\"$PTQTOP\" -d 0.2; stty -a | grep -o \"[-]*icanon [-a-z]* [-]*echo \"; echo d\"o\"ne'" Enter
        wait_for seen 'alpha'
        kill -$signal "$(top_pid)"
        wait_for seen 'done'
        ! grep -q 'IN/s' "$work/out" || fail "the screen was not given back after SIG$signal"
        grep -q '^icanon iexten echo' "$work/out" || fail "the terminal's modes were not given back after SIG$signal"
        screen kill-server
        wait_for no_server
    done
}

# SIGKILL cannot be caught: a child gives it back.  A job is killed as a group.
case_killed_it_gives_the_terminal_back() {
    local top guard
    fill
    for victim in process group stopped; do
        socket=$victim
        open_shell
        type "sh -c '\"$PTQTOP\" -d 0.2; read x; stty -a | grep -o \"[-]*icanon [-a-z]* [-]*echo \"; echo d\"o\"ne'" Enter
        wait_for seen 'alpha'
        top=$(top_pid)
        guard=$(cat "/proc/$top/task/$top/children")
        case $victim in
        process) kill -KILL "$top" ;;
        group) kill -KILL "-$(ps -o pgid= -p "$top" | tr -d ' ')" ;;
        stopped) kill -STOP "$top" && kill -KILL "$top" ;;
        esac
        wait_for unseen 'IN/s'
        [ $victim = group ] || type Enter
        [ $victim = group ] || wait_for seen 'done'
        [ $victim = group ] || grep -q '^icanon iexten echo' "$work/out" || fail "the terminal's modes were not given back"
        wait_for is_gone "$guard"
        screen kill-server
        wait_for no_server
    done
}

no_server() {
    ! screen list-sessions 2>/dev/null
}

case_control_c_leaves() {
    open -d 0.2
    wait_for seen 'no queues yet'
    type C-c
    wait_for seen 'left=130'
}

case_suspend_and_come_back() {
    fill
    open -d 0.2
    wait_for seen 'alpha'
    type C-z
    wait_for seen 'Stopped'
    type fg Enter
    wait_for unseen 'Stopped'
    wait_for seen 'OUT/s'
    leave
}

case_count_leaves_by_itself() {
    fill
    open -d 0.1 -n 3
    wait_for prompts_again
}

# The shell's first prompt, and the one behind ptqtop.
prompts_again() {
    look
    [ "$(grep -c 'left=0' "$work/out")" -ge 2 ]
}

case_without_colour_there_is_none() {
    fill
    open -d 0.2 -C
    wait_for seen 'alpha'
    screen capture-pane -p -e >"$work/out"
    ! grep -Eq $'\033\\[[0-9;]*(3[0-7]|4[0-7])m' "$work/out" || fail "colour"
    leave
}

case_ascii_draws_with_plain_characters() {
    fill
    open -d 0.2 --ascii
    wait_for seen '###...  50%'
    leave
}

case_a_dumb_terminal_gets_a_table() {
    fill
    trap end_screen EXIT
    screen new-session -d -x 150 -y 24 "env TERM=dumb PS1='left=\$? ' bash --norc --noprofile" || fail "no tmux"
    type "TERM=dumb \"$PTQTOP\" -n 1" Enter
    wait_for seen 'alpha'
    wait_for seen '50%'
}

command -v tmux >/dev/null || { echo "skipped: no tmux"; exit 77; }
run_cases
