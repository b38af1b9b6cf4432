#!/bin/sh
# subdirectory.sh SOURCE CC -- ptq builds inside another project by add_subdirectory, for the shared and for the static library, from
# a path with a space; without nng, protobuf-c and ncurses, which proves that the local bus and its programs need none of them.
#
# Nothing is optimised: this is about what compiles and links.
. "$(dirname "$0")/lib.sh"
source=$1
cc=$2
need cmake readelf
mkdir "$work/bus" "$work/other project"
chmod 700 "$work/bus"

ln -s "$source" "$work/other project/ptq"
cat >"$work/other project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(other LANGUAGES C)
add_subdirectory(ptq)
foreach(how ptq ptq_static)
    add_executable(by_\${how} ptq/docs/examples/workers.c)
    target_link_libraries(by_\${how} PRIVATE ptq::\${how})
endforeach()
END
built="$work/its build"
cmake -S "$work/other project" -B "$built" -DPTQ_WITH_REMOTE=OFF -DPTQ_BUILD_TOOLS=ON -DPTQ_NCURSES_INCLUDE=OFF \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O0 -DPTQ_HARDEN=OFF -DPTQ_WERROR=ON >"$work/log" 2>&1 &&
    cmake --build "$built" -j2 >>"$work/log" 2>&1 || { tail -40 "$work/log"; fail "it does not build"; }
grep -q 'no screen, as ncursesw was not found' "$work/log" || fail "ptqtop has a screen: is this test blind?"

library=$(find "$built" -name 'libptq.so' | head -1)
readelf -d "$library" >"$work/dynamic"
grep -q 'NEEDED.*libc\.so' "$work/dynamic" || fail "readelf shows no NEEDED in '$library'"
grep 'NEEDED.*\(nng\|protobuf\|mbed\)' "$work/dynamic" && fail "the local bus alone needs these"
readelf -d "$built/by_ptq_static" | grep 'NEEDED.*ptq' && fail "ptq::ptq_static is not static"
export PTQ_DIR="$work/bus"
for how in ptq ptq_static; do
    output=$("$built/by_$how") || fail "the example with $how exited with $?"
    [ "$output" = "100 squares, sum 328350, 1 redelivered" ] || fail "the example with $how printed '$output'"
done
"$(find "$built" -type f -name ptq -perm -u+x)" create tasks >/dev/null || fail "ptq create exited with $?"
"$(find "$built" -type f -name ptqtop -perm -u+x)" --once >"$work/out" || fail "ptqtop exited with $?"
grep -q tasks "$work/out" || fail "ptqtop does not show the queue"

# Nobody needs cmocka who wants no tests, nor inih and jansson who wants no programs.
cmake -S "$source" -B "$work/library alone" -DPTQ_BUILD_TESTS=OFF -DPTQ_BUILD_TOOLS=OFF -DCMAKE_C_COMPILER="$cc" \
    -DPTQ_CMOCKA_LIBRARY=OFF -DPTQ_INIH_LIBRARY=OFF -DPTQ_JANSSON_LIBRARY=OFF >"$work/log" 2>&1 ||
    { tail -20 "$work/log"; fail "the library alone cannot be configured"; }
say "the local bus alone builds, links and runs, shared and static"
