#!/bin/bash
# test_thumbnails.sh THUMBNAILS JPEGS -- each picture of a folder is there small, told in the order of names, whoever is killed; a bad one is told.
set -u -o pipefail
program=$(realpath "$1") jpegs=$(realpath "$2")
work=$(mktemp -d /dev/shm/ptq-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
export PTQ_DIR=$work/bus LC_ALL=C
fail() { echo "$*" >&2; cat "$work/err" >&2; exit 1; }

mkdir "$work/in"
for n in $(seq 101 124); do # wide, high and square ones, small ones, and a name with a blank
    width=$((n * 7 - 500)) height=$((1100 - n * 7))
    "$jpegs" make "$work/in/p $n.jpg" $width $height $((n * 2)) 60 $((250 - n)) || fail "cannot make a picture"
    longer=$((width > height ? width : height))
    new="${width}x$height"
    [ $longer -le 100 ] || new="$((width * 100 / longer))x$((height * 100 / longer))"
    echo "p $n.jpg ${width}x$height -> $new"
done >"$work/wanted"
"$jpegs" make "$work/in/q.JPEG" 40 30 200 100 50
"$jpegs" make "$work/in/r.jpg" 6000 4 200 100 50
printf 'q.JPEG 40x30 -> 40x30\nr.jpg 6000x4 -> 100x1\n' >>"$work/wanted"
head -c 700 "$work/in/p 105.jpg" >"$work/in/p 110a.jpg"
echo 'no picture' >"$work/in/p 110b.jpg"
: >"$work/in/no picture.txt"

# The first line comes through a pipe that is read then only: a worker of each stage is killed while the rest is under way.
mkfifo "$work/out"
"$program" "$work/in" "$work/small" 100 >"$work/out" 2>"$work/err" &
pid=$!
{
    read -r line
    echo "$line"
    for task in /proc/"$pid"/task/*; do # those of a stage are children of its thread, or of the first one
        for worker in $(cat "$task/children" 2>/dev/null); do
            [ $((RANDOM % 2)) = 0 ] || kill -KILL "$worker"
        done
    done
    cat
} <"$work/out" >"$work/got"
wait "$pid"
code=$?
[ $code = 1 ] || fail "it ended with $code"
cmp "$work/wanted" "$work/got" || fail "other pictures"
[ "$(grep -c 'p 110[ab].jpg' "$work/err")" = 2 ] || fail "bad pictures are not told"
[ "$(grep -vc '^==[0-9]*==Unable to get registers' "$work/err")" = 2 ] || fail "other words" # the leak checker, of killed workers
[ "$(ls "$work/small" | wc -l)" = 26 ] || fail "there are others: $(ls "$work/small")"
while read -r p n _ _ size; do
    [ "$p" = p ] || continue
    n=${n%.jpg}
    read -r got r g b lr lg lb < <("$jpegs" look "$work/small/p $n.jpg") || fail "$n is no picture"
    [ "$got" = "$size" ] || fail "$n is $got"
    for pair in "$r $((n * 2))" "$g 60" "$b $((250 - n))" "$lr $n" "$lg 30" "$lb $(((250 - n) / 2))"; do
        set -- $pair
        [ $(($1 - $2)) -lt 8 ] && [ $(($2 - $1)) -lt 8 ] || fail "$n shows $r $g $b over $lr $lg $lb"
    done
done <"$work/got"
[ -z "$(ls "$work/bus/default")" ] || fail "it left $(ls "$work/bus/default")"

"$program" "$work/in" "$work/nowhere/small" >/dev/null 2>"$work/err" && fail "it wrote to nowhere"
grep -q 'nowhere/small: No such file' "$work/err" || fail "it does not say where it cannot write"
