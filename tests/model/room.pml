/* room.pml -- full, told by counters: who asks for room adds up `put` and `taken` instead of walking the entries.
 *
 * P wants NEED places of CAP; Q puts meanwhile; takers each open their line, lease, count, look for who sleeps for room.  A count is
 * a plain store: it may stand in the taker's store buffer while he already reads the wait word.  A taker may be killed anywhere;
 * R then counts what he leased, and wakes.
 * P reads: the takers' counters; the producers'; each taker's line (open: he is between his lease and his count, so the entries are
 * walked, here one look at `waiting`); the takers' counters again, walking where they have moved.
 *
 * Checked: full is told only if the queue was full at a moment of the call; room by the counters only if there was some by the
 * counters at a moment of it; when nothing moves any more, P does not sleep beside room.  The wake itself is one step: see wait.pml.
 */
#ifndef CAP
#define CAP 2
#endif
#ifndef NEED
#define NEED 1
#endif
#ifndef QPUTS
#define QPUTS 1
#endif
#ifndef TAKES
#define TAKES 2          /* by each taker */
#endif
#ifndef MAXC
#define MAXC 1
#endif
#define NT 2
byte waiting=CAP, putp=CAP, putq;                /* in the queue; counted as put: by P before, by Q */
byte taken[NT], buf[NT];                         /* as others see it; 1: one more stands in his store buffer */
bit open[NT], leased[NT], dead[NT]; byte low[NT], crashes;
bit bit_, moved, asleep;                         /* the wait word: its bit; is it another than P armed?  P in the futex */
bit wasfull, wasroom ;                      /* ghosts of P's call */
#define DIFF (putp+putq-taken[0]-taken[1])
#define ISFULL (waiting+NEED>CAP)
#define NOTE if :: ISFULL -> wasfull=1 :: else fi; if :: DIFF+NEED<=CAP -> wasroom=1 :: else fi
#define FLUSH(t) if :: buf[t] -> taken[t]=taken[t]+1; buf[t]=0; NOTE :: else fi
#define WAKE if :: bit_ -> bit_=0; moved=1; asleep=0 :: else fi
#define ALIVE !dead[me]

proctype Drain(byte me) { do :: atomic { buf[me] -> FLUSH(me) } od }
proctype Taker(byte me) { byte n, mine; bit seen;
  do
  :: n<TAKES ->
#ifndef BUG_LINELATE
     atomic { ALIVE -> FLUSH(me); low[me]=mine; leased[me]=0; open[me]=1 };
#endif
     atomic { ALIVE -> FLUSH(me);                /* the lease's CAS */
       if :: waiting>0 -> waiting--; leased[me]=1; NOTE :: else -> open[me]=0; break fi };
#ifdef BUG_LINELATE
     atomic { ALIVE -> low[me]=mine; open[me]=1 };
#endif
     atomic { ALIVE -> buf[me]=1; mine++; n++ }; /* counted: his line is closed when that is seen */
     atomic { ALIVE -> seen=bit_ };
     if :: seen -> atomic { ALIVE -> FLUSH(me); WAKE } :: else fi
  :: else -> break
  od }
proctype Death() { byte t;
  if :: t=0 :: t=1 fi;
  if :: crashes<MAXC -> atomic { crashes++; FLUSH(t); dead[t]=1 } :: else -> goto out fi;
  /* recovery: an absolute number, then the wake */
  if
  :: open[t] && low[t]==taken[t] && leased[t] -> atomic { taken[t]=low[t]+1; NOTE }; open[t]=0
  :: else -> open[t]=0
  fi;
  atomic { WAKE };
out: skip }
proctype Q() { byte n;
  do
  :: n<QPUTS -> atomic { waiting<CAP -> waiting++; NOTE }; atomic { putq++; n++; NOTE }
  :: else -> break
  od }

/* answer: 0 full, 1 room */
inline ask() {
  atomic { wasfull=0; wasroom=0; NOTE; s1=0; s2=0; p=0; doubt=0 };
#ifdef BUG_PUTFIRST
  p=putp+putq;
#endif
  s1=taken[0]; s1=s1+taken[1];
#ifndef BUG_PUTFIRST
  p=putp+putq;
#endif
  if
  :: p<=s1 || p-s1+NEED<=CAP -> answer=1; assert(wasroom)
  :: else ->
#ifdef BUG_SUMFIRST
     s2=taken[0]; s2=s2+taken[1];
#endif
#ifndef BUG_NOLINES
     t=0;
     do
     :: t<NT -> atomic { ln=open[t]; lo=low[t] }; if :: ln && lo==taken[t] -> doubt=1 :: else fi; t++
     :: else -> break
     od;
#endif
#ifndef BUG_SUMFIRST
#ifdef BUG_NOSUM
     s2=s1;
#else
     s2=taken[0]; s2=s2+taken[1];
#endif
#endif
     if
     :: doubt || s2!=s1 -> atomic { answer=!ISFULL }
     :: else -> answer=0; assert(wasfull)
     fi
  fi;
  atomic { ln=0; lo=0; t=0; s1=0; s2=0; p=0; doubt=0 } }
proctype P() { byte s1, s2, p, t, lo; bit ln, doubt, answer;
  do
  :: ask();
     if :: answer -> break :: else fi;
     atomic { bit_=1; moved=0 };                 /* arm: a locked instruction */
#ifndef BUG_NOLOOK
     ask();
#endif
     if :: answer -> break :: else fi;
     atomic { if :: !moved -> asleep=1 :: else fi };
     !asleep
  od;
  skip }
init { atomic { run Taker(0); run Taker(1); run Drain(0); run Drain(1); run Q(); run P(); run Death() };
  timeout;
  assert(!(asleep && !ISFULL)) }
