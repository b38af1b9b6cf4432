#!/bin/sh
# subdirectory.sh SOURCE CC -- ptq builds inside another project by add_subdirectory; without nng and protobuf-c, which proves that
# the local bus needs neither.
. "$(dirname "$0")/lib.sh"
source=$1
cc=$2
need cmake readelf
mkdir "$work/bus" "$work/other project"
chmod 700 "$work/bus"

cat >"$work/other project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(other LANGUAGES C)
add_subdirectory("$source" ptq)
add_subdirectory("$source/docs/examples" examples)
END
cmake -S "$work/other project" -B "$work/build" -DPTQ_WITH_REMOTE=OFF -DPTQ_BUILD_TOOLS=ON -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_BUILD_TYPE=Debug >"$work/log" 2>&1 && cmake --build "$work/build" -j2 >>"$work/log" 2>&1 ||
    { tail -40 "$work/log"; fail "it does not build"; }

library=$(find "$work/build" -name 'libptq.so' | head -1)
readelf -d "$library" >"$work/dynamic"
grep -q 'NEEDED.*libc\.so' "$work/dynamic" || fail "readelf shows no NEEDED in '$library'"
grep 'NEEDED.*\(nng\|protobuf\)' "$work/dynamic" && fail "the local bus alone needs these"
output=$(PTQ_DIR="$work/bus" "$work/build/examples/workers") || fail "the example exited with $?"
[ "$output" = "100 squares, sum 328350, 1 redelivered" ] || fail "the example printed '$output'"
say "the local bus alone builds, links and runs"
