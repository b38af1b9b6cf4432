#!/bin/sh
# test_pipeline_example.sh PROGRAM -- docs/examples/pipeline.c does what it says.
work=$(mktemp -d /tmp/ptq-pipeline.XXXXXX)
trap 'rm -rf "$work"' EXIT
export PTQ_DIR="$work/bus"
fail() { echo "$*" >&2; exit 1; }

long=$(printf '%041d' 0)
i=0
while [ $i -lt 300 ]; do
    printf 'line %s of  many\n\n' "$i"
    i=$((i + 1))
done >"$work/in"
echo "$long end" >>"$work/in"
"$1" <"$work/in" >"$work/out" || fail "it exited with $?"
tr ' ' '\n' <"$work/in" | awk -v long="$long" 'length == 41 { print "stage measure: a word of 41 letters"; next } NF { print $0, length($0) }' >"$work/wanted"
cmp "$work/wanted" "$work/out" || fail "another output"

# The picture is one, and the table is a table.
"$1" "$work/picture.svg" <"$work/in" >"$work/again" 2>"$work/table" || fail "with a picture it exited with $?"
cmp "$work/wanted" "$work/again" || fail "another output with a picture"
grep -q '^bottleneck: ' "$work/table" || fail "no bottleneck in the table: $(cat "$work/table")"
if command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.etree.ElementTree as x; root = x.parse(sys.argv[1]).getroot()
boxes = [r for r in root.iter() if r.get("class") == "job"]
sys.exit(0 if len(boxes) > 2 else "only %d boxes" % len(boxes))' "$work/picture.svg" || fail "the picture is none"
fi
