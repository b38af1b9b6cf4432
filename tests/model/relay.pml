/* relay.pml -- a relay of a pipeline: groups of results are handed on to the pools of the next level, each output once and in order.
 *
 * Two pools beside each other are read (their heads hA, hB: results that are done), two are fed.  Of a group n[t] outputs go into each of them, 0 to
 * 2.  Whoever holds the claim is the only one who reads and feeds; a death lets it go.  The note of a fed pool is two words.  A submit is one step:
 * the queue's own models say so.  Killed at any step, MAXC times; another life begins, here or in the other process, and remembers nothing.
 *
 *   BUG_NONOTE      nothing is noted           BUG_NOTELATE  noted behind the first submit
 *   BUG_FROMFIRST   the group before the place BUG_ACKFIRST  results are done before all is handed on
 *   BUG_BACKWARDS   done from the last stage   BUG_STALE     a new life believes what an old one knew of the next ticket
 */
#ifndef MAXC
#define MAXC 2
#endif
#ifndef GROUPS
#define GROUPS 2
#endif
#define POOLS 2

byte n[GROUPS + 2];      /* outputs of a group, from 1 */
byte base[GROUPS + 2];   /* all before it */
byte hA, hB;
byte tail[POOLS], from[POOLS], to[POOLS];
#ifdef BUG_STALE
byte stale[3 * POOLS];
#endif
byte claim, kills;

#define STEP if :: kills < MAXC -> kills++; goto dead :: skip fi

proctype relay(byte me)
{
    byte t, w, i, next[POOLS];
    bool knows;

begin:
    knows = false;
    atomic { claim == 0 -> claim = me }
again:
    STEP;
    if
    :: hA == GROUPS -> goto rest
    :: else -> t = hA + 1
    fi;
rest:
    do
    :: atomic { hB < hA -> hB++ } STEP /* behind the first: handed on before */
    :: else -> break
    od;
    assert(hB == hA);
    if
    :: hA == GROUPS -> goto over
    :: else -> skip
    fi;
#ifdef BUG_ACKFIRST
    hA = t; STEP; hB = t; STEP;
#endif
    w = 0;
    do
    :: w == POOLS -> break
    :: else ->
        i = 0;
#ifdef BUG_STALE
        if :: stale[me * POOLS + w] != 0 -> next[w] = stale[me * POOLS + w]; knows = true :: else -> skip fi;
#endif
        if
        :: !knows ->
            next[w] = tail[w];
            STEP;
#ifndef BUG_NONOTE
            if
            :: from[w] == t -> i = next[w] - to[w]; goto noted
            :: else -> skip
            fi
#endif
        :: else -> skip
        fi;
#if !defined(BUG_NONOTE) && !defined(BUG_NOTELATE)
#ifdef BUG_FROMFIRST
        from[w] = t; STEP; to[w] = next[w];
#else
        to[w] = next[w]; STEP; from[w] = t;
#endif
        STEP;
#endif
noted:
        do
        :: i >= n[t] -> break
        :: else ->
            atomic {
                assert(tail[w] == base[t] + i); /* in order, each once */
                tail[w]++;
                next[w]++;
#ifdef BUG_STALE
                stale[me * POOLS + w] = next[w]
#endif
            }
            i++;
            STEP;
#ifdef BUG_NOTELATE
            to[w] = next[w] - i; from[w] = t; STEP
#endif
        od;
        w++
    od;
    knows = true;
#ifndef BUG_ACKFIRST
#ifdef BUG_BACKWARDS
    hB = t; STEP; hA = t;
#else
    hA = t; STEP; hB = t;
#endif
    STEP;
#endif
    goto again;
dead:
    atomic { claim = 0; t = 0; w = 0; i = 0; next[0] = 0; next[1] = 0 }
    goto begin;
over:
    assert(hA == GROUPS && hB == GROUPS && tail[0] == base[GROUPS + 1] && tail[1] == base[GROUPS + 1]);
    claim = 0
}

init {
    byte t = 1;
    do
    :: t > GROUPS -> break
    :: else ->
        if :: n[t] = 0 :: n[t] = 1 :: n[t] = 2 fi;
        base[t + 1] = base[t] + n[t];
        t++
    od;
    atomic { run relay(1); run relay(2) }
}
