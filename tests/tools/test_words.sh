#!/bin/bash
# test_words.sh -- help, errors of usage, completion: all from one table.
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

case_help_names_every_command() {
    expect 0 "$PTQ" --help
    for command in ls info stats create put get peek tail record replay trace check end purge kick pause resume rm gc verify doctor peers pool share log bench completion version help; do
        grep -q "^  $command " "$work/out" || fail "help lacks $command"
        expect 0 "$PTQ" "$command" --help
        case $command in trace) out_has "usage: ptq trace export" ;; pool) out_has "usage: ptq pool run" ;; share) out_has "usage: ptq share ls" ;; log) out_has "usage: ptq log ls" ;; *) out_has "usage: ptq $command" ;; esac
        out_has "--dir"
        expect 0 "$PTQ" --help
    done
    nothing_said
}

case_help_of_a_command_is_its_option() {
    "$PTQ" help put >"$work/one"
    "$PTQ" put --help >"$work/other"
    cmp -s "$work/one" "$work/other" || fail "they differ"
}

case_help_shows_every_option_of_the_table() {
    "$PTQ" --print list >"$work/list"
    [ "$(wc -l <"$work/list")" -gt 30 ] || fail "the list is short"
    while IFS=$'\t' read -r command option _; do
        # shellcheck disable=SC2086 # a command may be two words
        "$PTQ" $command --help >"$work/out"
        out_has "$option"
    done <"$work/list"
}

case_versions_are_told() {
    expect 0 "$PTQ" version
    grep -Eq '^ptq [0-9.]+ \(library [0-9.]+, layout [0-9]+, wire [0-9]+\)$' "$work/out" || fail "not a version"
    expect 0 "$PTQ" --version
    expect 0 "$PTQTOP" --version
}

case_no_command_is_misuse() {
    expect 2 "$PTQ"
    err_is "ptq: which command? - see: ptq --help"
}

case_an_unknown_command_is_misuse() {
    expect 2 "$PTQ" frobnicate
    err_is "ptq: 'frobnicate' is not a command - see: ptq --help"
}

case_an_unknown_option_is_misuse() {
    expect 2 "$PTQ" put tasks --frob
    err_is "ptq: put: unknown option --frob - see: ptq put --help"
    expect 2 "$PTQ" put tasks -Z
    err_is "ptq: put: unknown option -Z - see: ptq put --help"
    expect 2 "$PTQTOP" --frob
    err_is "ptqtop: unknown option --frob - see: ptqtop --help"
}

case_a_bad_value_names_what_is_possible() {
    expect 2 "$PTQ" get tasks -n many
    err_is "ptq: get: --count cannot be 'many': it is a number from 1, such as 32 or 10k - see: ptq get --help"
    expect 2 "$PTQ" get tasks -F xml
    err_has "--format cannot be 'xml': it is one of raw|line|null|quoted|hex|json"
    expect 2 "$PTQ" get tasks -n 0
    expect 2 "$PTQ" get tasks -n -3
    expect 2 "$PTQ" get tasks -n 99999999999999999999
    expect 2 "$PTQ" get tasks --timeout soon
    expect 2 "$PTQ" create tasks --item-size 2G
    err_has "--item-size is at most 1073741824"
    expect 2 "$PTQ" create tasks --mode 999
}

case_a_missing_value_is_named() {
    expect 2 "$PTQ" get tasks --count
    err_has "--count needs a value"
    expect 2 "$PTQ" get tasks -n
    err_has "-n needs a value"
    expect 2 "$PTQ" get tasks --all=yes
    err_has "takes no value"
}

case_operands_are_counted() {
    expect 2 "$PTQ" get
    err_has "too few arguments: ptq get QUEUE"
    expect 2 "$PTQ" get one two
    err_has "'two' is one argument too many: ptq get QUEUE"
    expect 2 "$PTQ" put tasks hello world
    err_has "'world' is one argument too many"
    expect 2 "$PTQTOP" now
}

case_options_that_exclude_each_other_are_refused() {
    expect 2 "$PTQ" get tasks --no-ack --exec true
    expect 2 "$PTQ" get tasks --all --follow
    expect 2 "$PTQ" get tasks --no-ack --follow
    expect 2 "$PTQ" put tasks data --line
    expect 2 "$PTQ" put tasks data -f file
    expect 2 "$PTQ" put tasks --line --null
    expect 2 "$PTQ" rm
    expect 2 "$PTQ" rm one --all
    [ ! -e "$PTQ_DIR" ] || fail "a usage error made a bus"
}

case_globals_stand_before_or_behind() {
    expect 0 "$PTQ" --run here create tasks
    expect 0 "$PTQ" ls --run here
    out_is tasks
    expect 0 "$PTQ" --run=there ls
    out_is_empty
    expect 0 env PTQ_RUN=here "$PTQ" ls
    out_is tasks
    mkdir "$work/other"
    expect 0 "$PTQ" ls --dir "$work/other/bus"
    out_is_empty
}

case_colour_is_asked_for_or_not_there() {
    expect 2 "$PTQ" frob
    ! grep -q $'\033' "$work/err" || fail "colour without a terminal"
    expect 2 env CLICOLOR_FORCE=1 "$PTQ" frob
    grep -q $'\033' "$work/err" || fail "no colour with CLICOLOR_FORCE"
    expect 2 env CLICOLOR_FORCE=1 NO_COLOR=1 "$PTQ" frob
    ! grep -q $'\033' "$work/err" || fail "colour with NO_COLOR"
}

case_control_characters_never_reach_the_terminal() {
    expect 2 "$PTQ" put $'evil\033[31m' $'x' y
    expect 2 "$PTQ" $'\033]0;title\007'
    ! LC_ALL=C grep -q $'[\001-\010\013-\037]' "$work/err" || fail "a control character came through"
    err_has '\x1b]0;title\a'
}

# complete LINE: what bash would offer at its end.
complete() {
    bash -c '
        PATH=$1:$PATH
        source <(ptq completion bash)
        read -ra COMP_WORDS <<<"$2"
        [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _ptq
        printf "%s\n" "${COMPREPLY[@]}"' bash "$(dirname "$PTQ")" "$1" | sort
}

# What tool_fail and tool_misuse say gets it from them: tools_say.
case_every_error_line_of_the_source_says_what_to_do() {
    local source
    source=$(cd "$(dirname "$0")/../../tools/ptq" && pwd)
    find "$source" -name '*.c' -print0 | sort -z | xargs -0 awk '
        FNR == 1 { text = "" }
        /tool_error\(/ { text = " "; line = FNR; seen++ }
        text != "" { text = text $0 }
        text != "" && /;[ \t]*$/ { if (text !~ / - /) print FILENAME ":" line ": it does not say what to do"; text = "" }
        END { if (seen < 20) print "only " seen " were found" }' >"$work/out"
    out_is_empty
}

case_completion_offers_names_of_what_the_command_works_on() {
    "$PTQ" create tasks && "$PTQ" share set progress done 1 >/dev/null && "$PTQ" log append events one >/dev/null
    [ "$(complete 'ptq tail ta')" = tasks ] || fail "queues: $(complete 'ptq tail ta')"
    [ "$(complete 'ptq share get pr')" = progress ] || fail "shares: $(complete 'ptq share get pr')"
    [ "$(complete 'ptq log show ev')" = events ] || fail "logs: $(complete 'ptq log show ev')"
    "$PTQ" create thumbs.jobs && "$PTQ" create thumbs.done
    [ "$(complete 'ptq pool status th')" = thumbs ] || fail "pools: $(complete 'ptq pool status th')"
    PTQ_RUN=other "$PTQ" create far
    [ "$(complete 'ptq --run other get f')" = far ] || fail "of the bus that stands on the line: $(complete 'ptq --run other get f')"
    : >"$work/ta.ptqr"
    [ "$(complete "ptq record tasks $work/ta")" = "$work/ta.ptqr" ] || fail "files"
}

case_completion_offers_commands_options_values_and_queues() {
    "$PTQ" create tasks && "$PTQ" create others
    [ "$(complete 'ptq po')" = pool ] || fail "commands of two words: $(complete 'ptq po')"
    [ "$(complete 'ptq pool st')" = $'status\nstop' ] || fail "second words: $(complete 'ptq pool st')"
    [ "$(complete 'ptq pool run --exe')" = --exec ] || fail "options of two words: $(complete 'ptq pool run --exe')"
    [ "$(complete 'ptq ver')" = $'verify\nversion' ] || fail "commands: $(complete 'ptq ver')"
    [ "$(complete 'ptq get --fo')" = $'--follow\n--format' ] || fail "options: $(complete 'ptq get --fo')"
    [ "$(complete 'ptq get -F ')" = $'hex\njson\nlength\nline\nnull\nquoted\nraw' ] || fail "values"
    [ "$(complete 'ptq get ta')" = tasks ] || fail "queues"
    [ "$(complete 'ptq --run test get o')" = others ] || fail "behind a global: $(complete 'ptq --run test get o')"
}

run_cases
