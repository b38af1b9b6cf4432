/* overdue.pml -- the clock of leases that run out: next_due, when a lease began, and takers who stop anywhere.
 *
 * V leases one message: it says in its entry that it is about to (tk, with the number of the attempt), makes next_due cover it,
 * leases by CAS, notes when (la), and says that it is through.  Before that U had the message and gave it back, which is why la
 * is old.  V may be stopped for ever, or just for long, anywhere.  Two lookers, of whom one may be stopped for ever, look when
 * next_due has come: whoever is taking is looked after later; a lease not noted yet is timed from when it was first seen
 * (sus), else by la; then next_due moves to the least, by CAS of what was read before.  A sleeper is awake when next_due has come.
 *
 * Checked: a lease never ends before its time, unless it was given back and taken again between a looker's last look and his CAS; whoever holds one, also stopped in the midst of taking it, loses it some day: as long
 * as it is leased, next_due is not 0.
 *
 * Time is counted; limit L.  otherd[p]: next_due was changed since p read it (its counter).
 */
#ifndef L
#define L 2
#endif
#ifndef TMAX
#define TMAX 6
#endif
#ifndef TRIES
#define TRIES 1         /* leases of V */
#endif
#define V 0
#define A 1
#define B 2
byte now=1;
byte nd; bit otherd[3];
byte la=1;                              /* leased_at: of an earlier lease */
bit leased, over;                       /* the word; over: it was ended */
byte tk, number;                        /* 0: not taking; else the attempt */
byte sus, sut;                          /* attempt, first seen: one word */
byte began;                             /* ghost: when the CAS was */
bit stop[3], fin[3];
#define ALIVE !stop[me]
#define CHD otherd[V]=1; otherd[A]=1; otherd[B]=1

inline cover() {
  atomic { ALIVE -> t0=now };
  do
  :: atomic { ALIVE -> seen=nd; otherd[me]=0 };
     if
     :: seen>t0 && seen<=t0+L -> break
#ifdef BUG_NOCOUNT      /* one that has come is left as it is */
     :: seen!=0 && seen<=t0 -> break
#endif
     :: else ->
        atomic { ALIVE -> if :: !otherd[me] -> nd=((seen==0 || seen>t0+L) -> t0+L : seen); CHD; ok=1 :: else ok=0 fi };
        if :: ok -> break :: else fi
     fi
  od;
  atomic { seen=0; ok=0; t0=0; otherd[me]=1 } }

proctype Taker(byte me) {
  byte t0, seen, n; bit ok;
  do
  :: n<TRIES ->
#ifndef BUG_NOTAKING
     atomic { ALIVE -> number++; tk=number };
#endif
#ifndef BUG_COVERLATE
     cover();
#endif
     atomic { ALIVE -> leased=1; over=0; began=now };
#ifdef BUG_COVERLATE
     cover();
#endif
#ifdef BUG_CLOCKFIRST
     la=began;
#else
     atomic { ALIVE -> t0=now };
     atomic { ALIVE -> la=t0; t0=0 };
#endif
     atomic { ALIVE -> tk=0 };
     n++;
     if
     :: n<TRIES -> atomic { ALIVE -> leased=0 }       /* gives it back, and takes it again */
     :: else
     fi
  :: else -> break
  od;
  fin[V]=1 }

inline overdue() {
  atomic { ALIVE -> tq=tk; nq=number };                          /* one word */
  atomic { ALIVE -> ok=leased };
  if
  :: !ok -> due=now+1
#ifndef BUG_NOSUSPECT
  :: ok && tq!=0 ->
     atomic { ALIVE -> sq=sus; t=sut; at=now };
     if
     :: sq!=tq ->
        atomic { ALIVE -> if :: sus==sq && sut==t -> sus=tq; sut=at :: else fi };
        due=at+L; ok=0
     :: else -> due=t+L; ok=(at>=due)
     fi
  :: ok && tq==0 ->
#else
  :: ok ->
#endif
     atomic { ALIVE -> t=la };
     atomic { ALIVE -> at=now };
     due=t+L; ok=(at>=due)
  fi;
  atomic { ALIVE -> if :: tk!=tq || number!=nq -> ok=0 :: else fi };
  atomic { tq=0; sq=0; t=0; at=0 } }

/* looks while next_due comes; some day time has passed */
proctype Looker(byte me) {
  byte seen, least, due, tq, sq, t, at, nq; bit ok;
  do
  :: atomic { ALIVE && nd!=0 && nd<=now -> seen=nd; otherd[me]=0 };
     least=0;
#ifndef BUG_NOINSIDE
#ifdef BUG_INSIDELATE
#else
     atomic { ALIVE -> if :: tk!=0 -> least=now+L :: else fi };
#endif
#endif
     atomic { ALIVE -> ok=leased };
     if
     :: ok ->
        overdue();
        if
        :: ok -> atomic { ALIVE -> if :: leased -> assert(nq!=number || now>=began+L); leased=0; over=1 :: else fi }
        :: else -> if :: least==0 || due<least -> least=due :: else fi
        fi
     :: else
     fi;
#ifdef BUG_INSIDELATE
     atomic { ALIVE -> if :: tk!=0 && least==0 -> least=now+L :: else fi };
#endif
     atomic { ALIVE -> if :: !otherd[me] -> nd=least; CHD :: else fi };
     atomic { seen=0; least=0; due=0; ok=0; nq=0; otherd[me]=1 }
  :: atomic { stop[me] || over || now>=TMAX -> break }
  od;
  fin[me]=1 }

/* what is stopped makes no step any more */
proctype Time() {
  do
  :: atomic { now<TMAX -> now++ }
  :: atomic { !stop[V] && !fin[V] -> stop[V]=1 }
#ifndef NOSTOPA
  :: atomic { !stop[A] && !fin[A] -> stop[A]=1 }
#endif
  :: now==TMAX -> break
  od }
/* when V has stopped and nobody is on his way: a lease that stands is covered */
#define QUIET (stop[V] || fin[V]) && (stop[A] || fin[A] || otherd[A]) && otherd[B]
proctype Watch() { atomic { QUIET && leased && nd==0 -> assert(false) } }
init { atomic { otherd[V]=1; otherd[A]=1; otherd[B]=1;
#ifdef DUE
  nd=1;
#endif
  run Taker(V); run Looker(A); run Looker(B); run Time(); run Watch() } }
