#!/bin/sh
# headers.sh SOURCE CC -- every public header compiles alone, as C99 and as C++11, with every warning an error.
. "$(dirname "$0")/lib.sh"
source=$1
cc=$2
cxx=${CXX:-c++}
need "$cxx"
count=0

for header in "$source"/src/include/ptq/*.h; do
    file=$(basename "$header")
    if [ "$file" = pb.h ] && ! echo '#include <protobuf-c/protobuf-c.h>' | "$cc" -E - >/dev/null 2>&1; then
        continue # it stands on protobuf-c
    fi
    printf '#include <ptq/%s>\n#include <ptq/%s>\nint use_%s;\n' "$file" "$file" "${file%.h}" >"$work/use.c"
    cp "$work/use.c" "$work/use.cc"
    "$cc" -std=c99 -pedantic -Wall -Wextra -Werror -I"$source/src/include" -fsyntax-only "$work/use.c" ||
        fail "ptq/$file does not compile alone as C99"
    "$cxx" -std=c++11 -pedantic -Wall -Wextra -Werror -I"$source/src/include" -fsyntax-only "$work/use.cc" ||
        fail "ptq/$file does not compile alone as C++11"
    count=$((count + 1))
done
[ "$count" -ge 5 ] || fail "only $count headers were found in $source/src/include/ptq"
say "$count headers compile alone"
