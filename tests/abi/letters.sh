#!/bin/sh
# letters.sh SOURCE -- every ordered access bears the letter of its pair, and the script that says so finds each kind of breach.
. "$(dirname "$0")/lib.sh"
source=$1
letters=$source/tools/dev/letters

"$letters" "$source" || fail "the tree and docs/memory-model.md differ"

# A small sound tree, which must be accepted.
tree=$work/tree
mkdir -p "$tree/src/ring" "$tree/src/local" "$tree/docs" "$tree/tests/model"
sound() {
    cat >"$tree/docs/memory-model.md" <<'EOF'
| | word | gives | takes | what | noticed by |
|---|---|---|---|---|---|
| **A** | a word | `store_release`, `cas`: `ring/slot.c:give` | `load_acquire`: `local/take.c:take` | bytes | `a_test` |
EOF
    cat >"$tree/src/ring/slot.c" <<'EOF'
void give(word *w)
{
    pti_store_relaxed(&w->bytes, 1);
    pti_store_release(&w->word, 1); /* [A] */
    /* [A] */
    if (pti_cas(&w->word, &expected, 2))
        return;
}
EOF
    cat >"$tree/src/local/take.c" <<'EOF'
static inline __attribute__((always_inline)) bool take(word *w)
{
    return pti_load_acquire(&w->word); /* [A] why */
}
EOF
    echo 'void a_test(void)' >"$tree/tests/test.c"
    echo '    SITES({"slot.c give: store", 1})' >"$tree/tests/model/orders_x.h"
}
sound
"$letters" "$tree" || fail "a sound tree is refused"

# breach FILE SED-SCRIPT FINDING: that one is found, and nothing else.
count=0
breach() {
    sound
    sed -i "$2" "$tree/$1"
    "$letters" "$tree" >"$work/out" && fail "accepted: $1 after $2"
    grep -qF -- "$3" "$work/out" || { cat "$work/out"; fail "not found: $3"; }
    [ "$(wc -l <"$work/out")" -eq 1 ] || { cat "$work/out"; fail "more than $3"; }
    count=$((count + 1))
}
breach src/ring/slot.c 's|store_release(&w->word, 1); /\* \[A\] \*/|store_release(\&w->word, 1);|' 'ring/slot.c:4: store_release bears no letter'
breach src/ring/slot.c 's|^    /\* \[A\] \*/$||' 'ring/slot.c:6: cas bears no letter'
breach src/local/take.c 's|load_acquire|load_seq|' 'src/local/take.c:3: load_seq is no order of letter A'
breach src/local/take.c 's|load_acquire|load_relaxed|' 'src/local/take.c:3: load_relaxed is no order of letter A'
breach src/ring/slot.c 's|store_release|store_relaxed|' 'src/ring/slot.c:4: store_relaxed is no order of letter A'
breach src/local/take.c '$a int w(w) { return pti_load_seq(\&w); } /* [A] */' 'load_seq is no order of letter A'
breach src/local/take.c 's|\[A\]|[A, B]|' 'src/local/take.c:3: letter B is not in docs/memory-model.md'
breach src/ring/slot.c 's|pti_store_relaxed(|atomic_store(|' 'ring/slot.c:3: goes round base/atomic.h'
breach docs/memory-model.md 's|ring/slot.c:give|ring/slot.c:taken|' 'ring/slot.c:taken bears no A'
breach docs/memory-model.md 's|a_test|no_test|' 'there is no test no_test'
breach docs/memory-model.md 's/ `a_test` / /' 'A names no test'
breach docs/memory-model.md '$a | **B** | word | `cas` | | none | `a_test` |' 'nothing gives B'
breach docs/memory-model.md '$p' 'letter A is in two rows'
breach tests/model/orders_x.h 's|give|gone|' 'there is no gone in slot.c'

# Nothing takes A where its only load is gone; the place that was named is missed, too.
sound
sed -i 's|pti_load_acquire.*|false;|' "$tree/src/local/take.c"
sed -i '/pti_cas/s|pti_cas.*|pti_exchange_seq(\&w->word, 2))|' "$tree/src/ring/slot.c"
sed -i 's|`cas`|`exchange_seq`|' "$tree/docs/memory-model.md"
"$letters" "$tree" >"$work/out" && fail "accepted: a letter that nobody takes"
grep -qF 'nothing takes A' "$work/out" || { cat "$work/out"; fail "not found: nothing takes A"; }
say "the letters hold, and $((count + 1)) breaches were found"
