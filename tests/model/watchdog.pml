/* watchdog.pml -- the thread that works and the thread that watches the time of its sections (src/process/watchdog.c).
 *
 * The worker begins and ends NS sections, each with a time of its own; in one it may be quick, or go on until it gets the flag, until it
 * gets the signal, or for ever.  The watchdog sleeps until a moment or its event.  Time passes as it likes.
 *
 * Checked: whoever is in a section whose time is over gets what it takes to come out of it (it is done when nothing moves any more); flag, signal
 * and death come to the section that is judged, while the worker is in it, and not before its time.
 */
#ifndef NS
#define NS 2
#endif
#define T 5 /* time stands there: whatever is due at some time is due then */
#define NEVER 99
#define NONE 200
byte section, deadline, sleeps=NEVER, cancelled=NONE, now, inside=NONE, time_of; /* the last two: what is true, not what is stored */
bit event, judges, locked, signal, dead, done;
#define STEP(x) if :: atomic { !dead -> x } :: dead -> goto out fi
inline look_and_call() { STEP(seen=sleeps); if :: seen>d -> STEP(event=1) :: else fi }
proctype Worker() { byte n, d, kind, s, seen;
  do
  :: n<NS -> n++;
     atomic { if :: d=1 :: d=3 fi; select(kind : 0 .. 3); s=section+1 }
#ifdef BUG_LATEDEADLINE
     STEP(inside=s; time_of=d; signal=0; section=s);
     STEP(deadline=d);
     look_and_call();
#else
     STEP(deadline=d);
     STEP(inside=s; time_of=d; signal=0);
#ifdef BUG_LOOKFIRST
     look_and_call();
     STEP(section=s);
#else
     STEP(section=s);
     look_and_call();
#endif
#endif
     if
     :: kind==0
     :: kind==1 -> (dead || cancelled==s)
     :: kind==2 -> (dead || signal)
     :: kind==3 -> (dead)
     fi;
     STEP(section=s+1);
#ifndef BUG_NOWAIT
     STEP(seen=judges);
     if :: seen -> (dead || !locked) :: else fi;
#endif
     STEP(inside=NONE)
  :: else -> break
  od;
out: done=1 }
/* To the section s, which is late. */
inline strike() {
  atomic { assert(inside==s && now>=time_of);
    if
    :: stage==0 -> cancelled=s
    :: stage==1 -> signal=1
    :: else -> dead=1
    fi;
    acted=now; stage++ } }
inline act() {
  atomic { !locked -> locked=1 };
#ifdef BUG_JUDGELATE
  if :: section==s -> judges=1; strike() :: else fi;
#else
  judges=1;
  if :: section==s -> strike() :: else fi;
#endif
  judges=0;
  locked=0 }
proctype Watchdog() { byte s, d, next, judged=NONE, stage, acted;
end_sleep:
  atomic { event || now>=sleeps -> sleeps=sleeps };
  if :: done -> goto out :: else fi;
#ifndef BUG_CLEARLATE
  event=0;
#endif
again:
  if :: dead -> goto out :: else fi;
  s=section; d=deadline;
  if :: section!=s -> goto again :: else fi;
  atomic {
    next=NEVER;
    if
    :: s%2==1 ->
       if :: judged!=s -> judged=s; stage=0 :: else fi;
       if :: stage==0 -> next=d :: stage>0 && stage<3 -> next=(acted<T -> acted+1 : T) :: else fi
    :: else
    fi };
  if :: next<=now -> act(); goto again :: else fi;
  sleeps=next;
#ifndef BUG_NORELOOK
  if :: section!=s -> goto again :: else fi;
#endif
#ifdef BUG_CLEARLATE
  event=0;
#endif
  goto end_sleep;
out: skip }
proctype Clock() { do :: now<T -> now++ :: else -> break od }
init { atomic { run Worker(); run Watchdog(); run Clock() };
  timeout;
  assert(done) }
