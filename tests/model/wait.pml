/* wait.pml -- the wait word: bit 0 somebody may sleep in the futex, bit 1 a descriptor is armed, the rest counts.
 *
 * Publishers commit, then look at the word; NC consumers sleep in the futex, ND in a descriptor, whose event stays until it
 * is drained.  Each consumer takes one item, passes the baton (it sees more: it wakes the next) and is busy for ever.
 * Arming adds to the count.  A waker signals the descriptors; then moves the count, the bits kept, so that who has armed and is
 * not asleep yet will not fall asleep; then FUTEX_WAKE; then the bits go by CAS of the moved value: SLEEPER only if nobody
 * was woken.  If the count was moved by another, the bits stay.
 * STOPS publishers may be stopped for ever, anywhere after the commit.
 *
 * NEEDS: the consumers are producers that wait for room, items are places, and the first needs two: whoever makes room must
 * then wake all (ALL), for the one that FUTEX_WAKE 1 picks may not be able to go on.
 *
 * NA: of the NC sleepers the last NA wait on this word and on others (ptq_wait_any), or are interrupted.  Such a one may be woken by
 * another word at any time, leaves as soon as it sees an item, and takes none: what it leaves with may have been the one
 * FUTEX_WAKE for this item, so it hands the wake on.
 *
 * Checked when nothing moves any more: an item lies beside a sleeper only if the publisher who committed last was stopped
 * before it had signalled.  That is what a stop costs: the next publish makes it good.  No time slices here: they only
 * make it milder.
 *
 * `other[p]`, the word is not the one that p saw last, stands for the comparison of the whole word.
 */
#ifndef NC
#define NC 2
#endif
#ifndef ND
#define ND 0
#endif
#ifndef NP
#define NP 2
#endif
#ifndef NA
#define NA 0
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifdef NEEDS              /* producers that wait for room: the first needs two places (a batch), the others one */
#define NEED(c) (c==0 -> 2 : 1)
#else
#define NEED(c) 1
#endif
#define NW (NC+ND)
#define NALL (NW+NP)
byte items; bit sl, ds;                          /* the two bits */
bit other[NALL];
bit asleep[NW], event[NW], busy[NW];
bit over[NP]; byte stops, last=99;
#define CHANGED for (i : 0 .. NALL-1) { other[i]=1 } i=0
#if STOPS>0
#define MAYSTOP :: atomic { me>=NW && stops<STOPS -> stops++; goto stopped }
#else
#define MAYSTOP
#endif
#define STEP if :: skip MAYSTOP fi
#ifdef ALL
#define CLEARS true      /* FUTEX_WAKE all: the bit may go then */
#else
#define CLEARS !hit
#endif
#if NC==2
#define beyond(i) (i==0 && asleep[1])            /* does another sleep behind it? */
#else
#define beyond(i) ((i==0 && (asleep[1] || asleep[2])) || (i==1 && asleep[2]))
#endif
inline futexwake() {                             /* FUTEX_WAKE 1: hit */
  hit=0;
#ifdef ALL
  for (i : 0 .. NC-1) { asleep[i]=0 } i=0 }
#elif NA>0              /* any sleeper: they are not alike */
  i=0;
  do
  :: i<NC && asleep[i] -> asleep[i]=0; hit=1; break
  :: i<NC && (!asleep[i] || beyond(i)) -> i++
  :: i>=NC -> break
  od; i=0 }
#else
  for (i : 0 .. NC-1) { if :: !hit && asleep[i] -> asleep[i]=0; hit=1 :: else fi } i=0 }
#endif
/* FUTEX_WAKE picks any sleeper; where they are alike, the first */
inline wake() {
  do
  :: STEP;
     atomic { other[me]=0; vs=sl; vd=ds };
     if
     :: !vs && !vd -> break
     :: else
     fi;
#ifdef BUG_CLEARFIRST
     atomic { if :: !other[me] -> sl=0; ds=0; CHANGED; ok=1 :: else -> ok=0 fi };
     if
     :: ok -> STEP;
              if :: vd -> atomic { for (i : NC .. NW-1) { event[i]=1 } i=0 } :: else fi; STEP;
              if :: vs -> atomic { futexwake() } :: else fi; break
     :: else
     fi
#else
     if
     :: vd -> atomic { for (i : NC .. NW-1) { event[i]=1 } i=0 }; STEP
     :: else
     fi;
#ifndef BUG_SIGNALFIRST  /* who has armed, and is not asleep yet, will not fall asleep on the old value */
     atomic { if :: !other[me] -> CHANGED; other[me]=0; ok=1 :: else -> ok=0 fi }; STEP;
#else
     ok=1;
#endif
     if
     :: vs -> atomic { futexwake() }; STEP
     :: else
     fi;
     if
     :: ok && (vd || (vs && CLEARS)) -> atomic { if :: !other[me] -> if :: vs && CLEARS -> sl=0 :: else fi; if :: vd -> ds=0 :: else fi; CHANGED :: else fi }
     :: else
     fi;
     break
#endif
  od;
  atomic { ok=0; hit=0; vs=0; vd=0; other[me]=1 } }
proctype Pub(byte me) { byte i; bit vs, vd, ok, hit;
  atomic { items++; last=me-NW };
  wake();
  atomic { over[me-NW]=1 };
stopped: skip }
#if NA>0
proctype Any(byte me) { byte i; bit vs, vd, ok, hit, elsewhere, woken;
  if :: elsewhere=1 :: skip fi;                  /* will another of its words wake it? */
  do
  :: atomic { CHANGED; sl=1; other[me]=0 };      /* arm */
     atomic { ok=(items>0) };                    /* look */
     if :: ok -> break :: else fi;
     woken=0;
     atomic { if :: !other[me] -> asleep[me]=1; woken=1 :: else fi };
     if
     :: !asleep[me]                              /* woken, or the word had moved: looks again */
     :: elsewhere -> atomic { asleep[me]=0; ok=(items>0) }; break
     fi
  od;
#ifndef BUG_NOHANDON
  if :: ok && woken -> wake() :: else fi;
#endif
  atomic { busy[me]=1; ok=0; woken=0; elsewhere=0; other[me]=1; goto stopped };
stopped: skip }
#endif
proctype Con(byte me) { byte i; bit vs, vd, ok, hit;
  do
  ::
#ifndef BUG_DRAINLATE
     atomic { event[me]=0 };
#endif
     /* arm */
#ifdef BUG_NOCOUNT
     atomic { if :: (me<NC -> sl : ds) -> skip :: else -> CHANGED fi; if :: me<NC -> sl=1 :: else -> ds=1 fi; other[me]=0 };
#else
     atomic { CHANGED; if :: me<NC -> sl=1 :: else -> ds=1 fi; other[me]=0 };
#endif
     atomic { if :: items>=NEED(me) -> items=items-NEED(me); ok=1 :: else -> ok=0 fi };       /* look: take */
     if
     :: ok -> break
     :: else ->
#ifdef BUG_DRAINLATE
        atomic { event[me]=0 };
#endif
        if
        :: me<NC -> atomic { if :: !other[me] -> asleep[me]=1 :: else fi }; !asleep[me]
        :: else -> asleep[me]=1; event[me]; asleep[me]=0
        fi
     fi
  od;
#ifndef BUG_NOBATON
  atomic { ok=(items>0) };
  if :: ok -> wake() :: else fi;
#endif
  atomic { busy[me]=1; ok=0; other[me]=1; goto stopped };
stopped: skip }
#if NA>0
#define RUNCON(i) if :: i>=NC-NA && i<NC -> run Any(i) :: else -> run Con(i) fi
#else
#define RUNCON(i) run Con(i)
#endif
init { byte i; bit beside;
  atomic { for (i : 0 .. NW-1) { RUNCON(i) } for (i : NW .. NALL-1) { run Pub(i) } i=0 };
  timeout;
  beside=0;
  for (i : 0 .. NW-1) { if :: asleep[i] && items>=NEED(i) -> beside=1 :: else fi }
  assert(!(beside && over[last])) }
