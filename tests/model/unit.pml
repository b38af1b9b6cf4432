/* unit.pml -- an open unit: a pack that stands in the ring and is added to, record by record, until somebody leases it.
 *
 * Producer, life 1: puts three messages.  The first publishes a unit; each further one is written behind it, then committed by one
 * CAS of n; where that fails, or something stands behind the unit, a new unit is begun, in another block of its extent.
 * Another producer puts one entry of its own, or (-DENDS) ends.
 * Consumers: lease, close (CLOSED into n), count (line, UNIT off, counter), hand out, finish.  Kills anywhere; who drains recovers.
 * A block of the extent comes home as OWNED; unless -DBUG_SHARED, then as FREE, for anybody.
 *
 * Must fail: BUG_NOCLOSE   the taker reads n and does not close the unit: what is added later is lost
 *            BUG_PLAIN     the producer adds by a plain store of n: it may follow the close, and the record is lost
 *            BUG_LATECLOSE the unit is closed after its records were counted
 *            BUG_SHARED    the block comes home to anybody, while its producer still writes to it
 *            BUG_LOANED    its own lane takes it again for another message, without having found it closed
 *            BUG_NOBEHIND  records are added to a unit with an entry behind it: order, and END
 *            BUG_COUNTFIRST counted before UNIT is taken off: twice, if killed between
 *            BUG_NOLINE    no line: not counted at all, if killed between
 */
#ifndef MAXC
#define MAXC 1
#endif
#define NB 4                    /* 0, 1, 2: the producer's extent; 3: the other's */
#define NS 5
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDEL 4
#define P 1
#define C 2
#define D 3
#define Q 4
#define NIL 9
#define END 8
#define ALIVE !dead[me]
byte slot[NS];                  /* 0, b + 1, END */
byte bst[NB], bown[NB], bpos[NB];
byte n[NB]; bit closed[NB], unit[NB]; byte prog[NB];
byte rec[12];                   /* three records a block */
bit dead[5], fin[5]; byte crashes;
/* counts: what entries say, beside what is derived of units; lines */
byte admitted[5]; byte lblk[5], lwas[5], lby[5]; bit lopen[5]; byte acked;
byte returned;                  /* of the producer's messages: the last whose put returned */
bit out[6], inq[6];             /* handed out once, committed */
byte last_out;                  /* order of messages 1 2 3 of life 1 */
bit endseen, otherput, ended; byte pos4;
byte writer[NB];                /* who may write into it now: 0 nobody */

inline fill(m, i) { atomic { ALIVE -> assert(writer[b] == 0 || writer[b] == me); rec[b * 3 + i] = m } }
inline alloc(lo, hi) {
  atomic { ALIVE -> b = NIL; for (k : lo .. hi) { if :: b == NIL && k != open && (bst[k] == FREE || (bst[k] == OWNED && bown[k] == me)) -> b = k :: else fi }
           if :: b != NIL -> bst[b] = OWNED; bown[b] = me; writer[b] = me :: else fi; k = 0 } }
inline publish(m) {
  do
  :: atomic { ALIVE -> t = 0; do :: t < NS && slot[t] != 0 -> t++ :: else -> break od }
     if :: t < NS && t > 0 -> if :: slot[t - 1] == END -> ok = 0; atomic { ALIVE -> bst[b] = OWNED; writer[b] = 0 }; break :: else fi :: else fi;
     atomic { ALIVE -> bst[b] = COMMIT; bown[b] = me; bpos[b] = t };
     atomic { ALIVE -> if :: slot[t] == 0 -> slot[t] = b + 1; ok = 1; inq[m] = 1; writer[b] = 0 :: else -> ok = 0 fi };
     if :: ok -> break :: else fi
  od }
inline put(m) {                 /* by the owner of the extent */
  atomic { ok = 0; after4 = otherput; after_end = ended };
  if
  :: open != NIL ->
#ifndef BUG_NOBEHIND
     if :: slot[bpos0 + 1] != 0 -> open = NIL :: else fi
#else
     skip
#endif
  :: else
  fi;
  if
  :: open != NIL ->
     b = open;
     /* its bytes: nobody else may use the block while we write */
     atomic { ALIVE -> assert(writer[b] == 0 || writer[b] == me); assert(!(bst[b] == FREE)); rec[b * 3 + mine] = m };
#ifdef BUG_PLAIN
     atomic { ALIVE -> n[b] = mine + 1; closed[b] = 0; ok = 1; inq[m] = 1 };
#else
     atomic { ALIVE -> if :: n[b] == mine && !closed[b] && unit[b] -> n[b] = mine + 1; ok = 1; inq[m] = 1 :: else -> ok = 0 fi };
#endif
     if :: ok -> mine++; assert(!after4 || bpos0 > pos4); assert(!after_end) /* as it was when the call began */
        :: else -> open = NIL fi
  :: else
  fi;
  if
  :: !ok -> alloc(0, 2);
            if :: b == NIL -> skip /* an ordinary put elsewhere: not modelled */
            :: else -> fill(m, 0); atomic { ALIVE -> n[b] = 1; closed[b] = 0; unit[b] = 1; prog[b] = 0 };
                       publish(m); if :: ok -> open = b; bpos0 = t; mine = 1 :: else fi
            fi
  :: else
  fi;
  t = 0; if :: open == NIL -> b = NIL :: else fi }
/* recovery of x: the line first, then the words */
inline recover(x) {
  atomic { if :: lopen[x] -> if :: !unit[lblk[x]] -> admitted[x] = lwas[x] + lby[x] :: else fi; lopen[x] = 0 :: else fi };
  for (j : 0 .. NB - 1) {
     atomic { if :: bown[j] == x && bst[j] == LEASED -> bst[j] = REDEL; bown[j] = 0
                 :: bown[j] == x && bst[j] == OWNED -> bst[j] = FREE; bown[j] = 0
                 :: bown[j] == x && bst[j] == COMMIT && slot[bpos[j]] != j + 1 -> bst[j] = FREE; bown[j] = 0
                 :: else fi; if :: writer[j] == x -> writer[j] = 0 :: else fi } } }
proctype Prod(byte me) { byte b = NIL, open = NIL, mine, bpos0, t, k; bit ok, after4, after_end;
  put(1); atomic { ALIVE -> if :: ok -> returned = 1 :: else fi };
#ifdef BUG_LOANED
  /* in between the lane takes an own block that has come home, without a look at what it has open */
  atomic { ALIVE -> k = open; open = NIL; };
  alloc(0, 2); if :: b != NIL -> atomic { ALIVE -> writer[b] = 7 } :: else fi;
  atomic { ALIVE -> open = k; k = 0 };
#endif
  put(2); atomic { ALIVE -> if :: ok -> returned = 2 :: else fi };
  put(3); atomic { ALIVE -> if :: ok -> returned = 3 :: else fi };
  fin[me] = 1 }
/* Another producer: one entry of its own, after which nothing of ours may come before it that was put later; or END. */
proctype Other(byte me) { byte b = NIL, open = NIL, t, k; bit ok;
#ifdef ENDS
  do
  :: atomic { t = 0; do :: t < NS && slot[t] != 0 -> t++ :: else -> break od };
     atomic { if :: slot[t] == 0 -> slot[t] = END; ok = 1 :: else -> ok = 0 fi };
     if :: ok -> break :: else fi
  od;
  ended = 1
#else
  alloc(3, 3);
#ifdef BUG_SHARED
  if :: bst[0] == FREE && bown[0] == 0 && slot[0] != 0 -> atomic { if :: bst[0] == FREE -> bst[3] = FREE; b = 0; bst[0] = OWNED; bown[0] = me; writer[0] = me :: else fi } :: else fi;
#endif
  fill(4, 0); atomic { ALIVE -> n[b] = 1; closed[b] = 1; unit[b] = 0; prog[b] = 0 };
  publish(4);
  atomic { if :: ok -> otherput = 1; pos4 = t :: else fi };
#endif
  fin[me] = 1 }
inline step_take() {
  b = NIL;
  atomic { ALIVE -> for (k : 0 .. NB - 1) { if :: b == NIL && bst[k] == REDEL -> b = k :: else fi }
           if :: b != NIL -> bst[b] = LEASED; bown[b] = me :: else fi; k = 0 };
  if :: b == NIL ->
     t = 0;
     do
     :: t >= NS || slot[t] == 0 -> break
     :: t < NS && slot[t] == END -> endseen = 1; break
     :: else -> atomic { ALIVE -> k = slot[t] - 1; if :: bst[k] == COMMIT && bpos[k] == t -> bst[k] = LEASED; bown[k] = me; b = k :: else fi };
                if :: b != NIL -> break :: else -> t++ fi
     od
  :: else fi; t = 0; k = 0;
  if
  :: b != NIL && unit[b] ->
#ifdef BUG_LATECLOSE
     atomic { ALIVE -> cnt = n[b] };
#else
#ifdef BUG_NOCLOSE
     atomic { ALIVE -> cnt = n[b] };
#else
     atomic { ALIVE -> closed[b] = 1; cnt = n[b] };
#endif
#endif
#ifndef BUG_NOLINE
     atomic { ALIVE -> lwas[me] = admitted[me]; lby[me] = cnt; lblk[me] = b; lopen[me] = 1 };
#endif
#ifdef BUG_COUNTFIRST
     atomic { ALIVE -> admitted[me] = admitted[me] + cnt; lopen[me] = 0 };
     atomic { ALIVE -> unit[b] = 0 };
#else
     atomic { ALIVE -> unit[b] = 0 };
     atomic { ALIVE -> admitted[me] = admitted[me] + cnt; lopen[me] = 0 };
#endif
#ifdef BUG_LATECLOSE
     atomic { ALIVE -> closed[b] = 1 };
#endif
  :: b != NIL && !unit[b] -> cnt = n[b]
  :: else
  fi;
  if
  :: b != NIL ->
     i = prog[b];
     do
     :: i < cnt -> atomic { ALIVE -> k = rec[b * 3 + i]; assert(inq[k]); assert(!out[k]); out[k] = 1; prog[b] = i + 1; acked++;
                            if :: k <= 3 -> assert(k > last_out || dead[C]); if :: k > last_out -> last_out = k :: else fi :: else fi };
                   k = 0; i++
     :: else -> break
     od;
     atomic { ALIVE -> if :: b == 3 -> bst[b] = FREE; bown[b] = 0
#ifdef BUG_SHARED
                       :: else -> bst[b] = FREE; bown[b] = 0
#else
                       :: else -> bst[b] = OWNED; bown[b] = P
#endif
                       fi; b = NIL; i = 0; cnt = 0 }
  :: else
  fi }
proctype Cons(byte me) { byte b = NIL, t, k, i, cnt;
  step_take(); step_take();
  fin[me] = 1 }
#define GONE(x) (dead[x] || fin[x])
proctype Drain(byte me) { byte b = NIL, t, k, i, cnt, j; bit more;
#ifndef EARLY
  GONE(P) && GONE(C) && fin[Q];
#endif
  do
  :: atomic { more = 0; for (j : 0 .. NB - 1) { if :: (bst[j] == COMMIT && slot[bpos[j]] == j + 1) || bst[j] == REDEL -> more = 1 :: else fi } j = 0 };
     if
     :: more -> step_take()
     :: else -> if :: GONE(P) && GONE(C) && fin[Q] ->
                      if :: dead[C] && (lopen[C] || bown[0] == C || bown[1] == C || bown[2] == C || bown[3] == C) -> recover(C)
                         :: dead[P] && (bown[0] == P || bown[1] == P || bown[2] == P) -> recover(P)
                         :: else -> break fi
                :: else fi
     fi
  od;
  atomic {
    /* what returned is in, all that is in went out, once */
    for (j : 1 .. 3) { if :: j <= returned -> assert(inq[j]) :: else fi }
    for (j : 1 .. 4) { assert(inq[j] == out[j]) }
    /* the counts: put by units is what was admitted */
    k = inq[1] + inq[2] + inq[3];
    assert(admitted[C] + admitted[D] == k);
    for (j : 0 .. NB - 1) { assert(bst[j] == FREE || (bst[j] == OWNED && bown[j] == P && !dead[P])) }
    fin[me] = 1 } }
#define KILL(x) :: atomic { crashes < MAXC && !fin[x] && !dead[x] -> dead[x] = 1; crashes++ }
proctype Crash() { do KILL(P) KILL(C) :: break od }
init { atomic { run Prod(P); run Cons(C); run Other(Q); run Drain(D); run Crash() } }
