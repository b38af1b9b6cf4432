/* lease.pml -- a lease that is overdue: copied, quarantined, handed to another; its holder late, stopped or dead.
 *
 * V takes message 1 (its line says so), holds it, and with MSGS == 2 a sibling of the same position; it acks by CAS.  E enforces
 * limits: copy in a block of its own, COPY(e, number); LEASED(v) -> QUAR(v, copy); COPY -> REDELIV; then it tells.  Any lease
 * may be overdue at any time (the clock is in overdue.pml).  No copy stands in a block whose lease another is about to end
 * (`copying`): to that one's CAS a sibling there would look the same (-DAGAIN: V takes what comes again).  D looks, takes, acks: its lease may run out too.  P takes free blocks
 * and writes in them.  V and E may be killed or stopped for ever (a kill that nobody recovers) anywhere; R recovers the
 * dead, and may be stuck anywhere.
 *
 * Checked: nobody writes where V may read; each message is acked once, by whom its lease was; once V and E move no more, one look
 * of D finds everything, whoever is stopped where; V's counters are what happened; in the end every block is free.
 *
 * One `atomic` is one access of one word, or a CAS.  Sequential consistency.
 */
#ifndef MSGS
#define MSGS 1
#endif
#ifndef NB
#define NB 4
#endif
#ifndef ROUNDS
#define ROUNDS 1        /* leases that E ends */
#endif
#ifndef MAXC
#define MAXC 2
#endif
#ifndef WRITES
#define WRITES 1
#endif
#define V 1
#define E 2
#define D 3
#define R 4
#define P 5
#define NIL 9
#define POS 7
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDELIV 4
#define QUAR 5
#define COPY 6
#define CLOSED 0
#define OPEN 1
#define DONE 2
#define UNDONE 3
#define TAKE 0
#define ACK 1
byte st[NB], ow[NB], nm[NB];             /* the word; nm: position, or number of a COPY, or the copy's block of a QUAR */
byte link[NB]=NIL, pay[NB], at[NB];      /* source, payload, position of a copy */
byte num[6];                             /* copies made by each entry */
byte copying[6]=NIL;                     /* what each is making a copy of */
bit rbit;
byte jst, jlow, jblk, jop;               /* V's line */
byte cnt[2], did[2], acked[3];
bit holds[NB];                           /* V may read there */
bit dead[6], recovered[6], fin[6], done; byte crashes;
#define ALIVE !dead[me]
#define GONE(p) (fin[p] || dead[p])
#define SET(b,s,o,n) st[b]=s; ow[b]=o; nm[b]=n
#define IS(b,s,o,n) (st[b]==s && ow[b]==o && nm[b]==n)
#ifdef BUG_NAMEPOS
#define NUMBER POS
#else
#define NUMBER num[me]
#endif

/* s was seen as QUAR(.., q): its copy becomes REDELIV, by whoever comes first; all tell */
inline help(s,q,o) {
  atomic { ALIVE -> hs=st[q]; ho=ow[q]; hn=nm[q] };
  if
  :: hs==COPY ->
     atomic { ALIVE -> hok=(link[q]==s) };
     if
     :: hok -> atomic { ALIVE -> hok=IS(s,QUAR,o,q) };
        if
        :: hok -> atomic { ALIVE -> if :: IS(q,COPY,ho,hn) -> SET(q,REDELIV,0,at[q]) :: else fi };
           atomic { ALIVE -> rbit=1 }
        :: else
        fi
     :: else
     fi
#ifndef BUG_NOTELL
  :: hs==REDELIV -> atomic { ALIVE -> rbit=1 }
#endif
  :: else
  fi;
  atomic { hs=0; ho=0; hn=0; hok=0 } }

/* it is LEASED no more: somebody was faster, and may have been stopped before he told */
inline moved(s) {
  atomic { ALIVE -> ws=st[s]; wo=ow[s]; wn=nm[s] };
  if :: ws==QUAR -> help(s,wn,wo) :: ws==REDELIV -> atomic { ALIVE -> rbit=1 } :: else fi }

inline alloc() {
  atomic { ALIVE -> c=NIL; for (k : 0 .. NB-1) { if :: c==NIL && st[k]==FREE -> c=k; SET(k,OWNED,me,nm[k]) :: else fi } k=0 } }

inline enforce(s) {
  alloc();
#ifndef BUG_ANYBLOCK    /* a block is used that another may be about to quarantine: it looks the same with a sibling in it */
  atomic { ALIVE -> hok=(c!=NIL && (copying[E+D-me]==c)) };
  if
  :: hok -> atomic { ALIVE -> hs=c; hok=0 };
     alloc();
     atomic { ALIVE -> SET(hs,FREE,0,0); hs=0 }
  :: else
  fi;
#endif
  atomic { ALIVE -> copying[me]=s };
  if
  :: c==NIL
  :: else ->
     atomic { ALIVE -> ws=st[s]; wo=ow[s]; wn=nm[s] };
     if
     :: ws==LEASED && wo!=me ->
        atomic { ALIVE -> assert(!holds[c]); pay[c]=pay[s]; at[c]=wn };
        atomic { ALIVE -> link[c]=s };
        atomic { ALIVE -> num[me]++ };
        atomic { ALIVE -> SET(c,COPY,me,NUMBER) };
#ifdef BUG_REDELFIRST
        atomic { ALIVE -> if :: st[c]==COPY -> SET(c,REDELIV,0,wn) :: else fi }; atomic { ALIVE -> rbit=1 };
#endif
#ifdef BUG_REUSE
        atomic { ALIVE -> hok=IS(s,LEASED,wo,wn); if :: hok -> SET(s,FREE,0,wn) :: else fi };
#else
        atomic { ALIVE -> hok=IS(s,LEASED,wo,wn); if :: hok -> SET(s,QUAR,wo,c) :: else fi };
#endif
        if
        :: hok ->
           atomic { ALIVE -> if :: IS(c,COPY,me,NUMBER) -> SET(c,REDELIV,0,wn) :: else fi };
           atomic { ALIVE -> rbit=1 }
        :: else -> atomic { ALIVE -> if :: st[c]==COPY -> SET(c,FREE,0,0) :: else fi }; moved(s)
        fi
     :: else -> atomic { ALIVE -> SET(c,FREE,0,0) }; moved(s)
     fi
  fi;
  atomic { ALIVE -> copying[me]=NIL };
  atomic { c=NIL; ws=0; wo=0; wn=0; hok=0 } }

/* the lease was not there any more: b is QUAR(o, ..) and nobody else ends that */
inline late(b,o) {
  atomic { ALIVE -> assert(st[b]==QUAR && ow[b]==o); wn=nm[b] };
#ifndef BUG_NOHELP
  help(b,wn,o);
#endif
  atomic { ALIVE -> assert(IS(b,QUAR,o,wn)); SET(b,FREE,0,0); if :: o==V -> holds[b]=0 :: else fi; wn=0 } }

inline ack(b) {
  if :: me==V -> atomic { ALIVE -> jlow=cnt[ACK]; jblk=b; jop=ACK; jst=OPEN } :: else fi;
  atomic { ALIVE -> assert(me!=V || (holds[b] && pay[b]!=99));
#ifdef BUG_PLAINACK
     ok=1;
#else
     ok=(st[b]==LEASED && ow[b]==me);
#endif
     if :: ok -> acked[pay[b]]++; assert(acked[pay[b]]==1); SET(b,FREE,0,0);
                 if :: me==V -> did[ACK]++; holds[b]=0 :: else fi
        :: else fi };
  if
  :: ok -> if :: me==V -> atomic { ALIVE -> cnt[ACK]++ } :: else fi
  :: else ->
#ifdef BUG_FREEFIRST
     late(b,me); if :: me==V -> atomic { ALIVE -> jst=CLOSED } :: else fi
#else
     if :: me==V -> atomic { ALIVE -> jst=CLOSED } :: else fi; late(b,me)
#endif
  fi;
  ok=0 }

proctype Victim(byte me) {
  byte wn, hs, ho, hn, k, b=NIL; bit ok, hok;
  atomic { ALIVE -> jlow=cnt[TAKE]; jblk=0; jop=TAKE; jst=OPEN };
  atomic { ALIVE -> assert(st[0]==COMMIT); SET(0,LEASED,V,POS); holds[0]=1; did[TAKE]++ };
  atomic { ALIVE -> cnt[TAKE]++ };
#if MSGS>1
  ack(1);
#endif
  ack(0);
#ifdef AGAIN            /* takes what was given back, too: perhaps a sibling, in a block that it had before */
  atomic { ALIVE -> for (k : 0 .. NB-1) { if :: b==NIL && st[k]==REDELIV -> b=k; SET(k,LEASED,me,POS); holds[k]=1 :: else fi } k=0 };
  if :: b!=NIL -> ack(b) :: else fi;
#endif
  atomic { ALIVE -> fin[V]=1 } }

proctype Enforcer(byte me) {
  byte c=NIL, k, s, r, ws, wo, wn, hs, ho, hn; bit hok;
  do
  :: r<ROUNDS ->
     atomic { ALIVE -> if :: st[0]==LEASED -> s=0 :: st[1]==LEASED -> s=1 :: st[2]==LEASED -> s=2 :: st[NB-1]==LEASED -> s=NB-1 :: true -> s=NIL fi };
     if :: s!=NIL -> enforce(s) :: else fi; r++
  :: else -> break
  od;
  atomic { ALIVE -> fin[E]=1 } }

inline look() {
  j=0;
  do
  :: j<NB ->
     atomic { ALIVE -> ls=st[j]; lo=ow[j]; ln=nm[j] };
     if
     :: ls==LEASED && lo!=me -> enforce(j)
#ifndef BUG_LOOKNOHELP
     :: ls==QUAR -> help(j,ln,lo)
     :: ls==COPY -> atomic { ALIVE -> lo=link[j]; hok=(lo!=NIL && st[lo]==QUAR && nm[lo]==j); ho=(lo!=NIL -> ow[lo] : 0) };
        if :: hok -> hok=0; ln=ho; help(lo,j,ln) :: else fi
#endif
     :: ls==REDELIV -> atomic { ALIVE -> rbit=1 }
     :: else
     fi; j++
  :: else -> break
  od;
  atomic { j=0; ls=0; lo=0; ln=0; hok=0 } }

/* takes and acks what it is told of */
inline drain() {
  do
  :: atomic { rbit -> b=NIL; for (k : 0 .. NB-1) { if :: b==NIL && st[k]==REDELIV -> b=k :: else fi } k=0;
       if :: b!=NIL -> assert(nm[b]==POS && !acked[pay[b]]); SET(b,LEASED,me,POS) :: else -> rbit=0 fi };
     if :: b!=NIL -> ack(b) :: else fi; b=NIL
  :: atomic { !rbit -> break }
  od }

inline decide() {
  atomic { ALIVE -> lo=jlow; ls=jst; j=jop; b=jblk };
  if
  :: ls==OPEN && cnt[j]==lo ->
     atomic { ALIVE -> ws=st[b]; wo=ow[b]; wn=nm[b] };
     if
     :: j==TAKE ->
        ok=(ws==LEASED && wo==V);
#ifndef BUG_TAKEQUAR
        ok=ok || (ws==QUAR && wo==V)
#endif
     :: j==ACK ->
        ok=!(ws==LEASED && wo==V);
#ifndef BUG_QUARDONE
        ok=ok && !(ws==QUAR && wo==V)
#endif
     fi;
     atomic { ALIVE -> if :: jst==OPEN && jlow==lo && jop==j && jblk==b -> jst=(ok -> DONE : UNDONE) :: else fi };
     atomic { ALIVE -> ls=jst }
  :: else
  fi;
  if :: ls==DONE -> atomic { ALIVE -> if :: cnt[j]==lo -> cnt[j]=lo+1 :: else fi } :: else fi;
  atomic { lo=0; ls=0; j=0; b=NIL; ws=0; wo=0; wn=0; ok=0 } }

inline recover(x) {
  if :: x==V -> decide() :: else fi;
  j=0;
  do
  :: j<NB ->
     atomic { ALIVE -> ls=st[j]; lo=ow[j]; ln=nm[j] };
     if
     :: ls==OWNED && lo==x -> atomic { ALIVE -> if :: IS(j,OWNED,x,ln) -> SET(j,FREE,0,ln) :: else fi }
     :: ls==LEASED && lo==x ->
        atomic { ALIVE -> hok=0; if :: IS(j,LEASED,x,ln) -> SET(j,REDELIV,0,ln); holds[j]=0
                                    :: else -> hok=(st[j]==QUAR && ow[j]==x); ln=nm[j] fi };
#ifndef BUG_ONELOOK
        if
        :: hok -> help(j,ln,x);                                /* it ran out just now: nobody else ends that */
           atomic { ALIVE -> if :: IS(j,QUAR,x,ln) -> SET(j,FREE,0,0); if :: x==V -> holds[j]=0 :: else fi :: else fi }
        :: else
        fi;
#endif
        atomic { ALIVE -> hok=0; rbit=1 }
     :: ls==QUAR && lo==x -> help(j,ln,x);
        atomic { ALIVE -> if :: IS(j,QUAR,x,ln) -> SET(j,FREE,0,0); if :: x==V -> holds[j]=0 :: else fi :: else fi }
     :: ls==COPY && lo==x ->
#if defined(BUG_NOASK)
        hok=1;
#elif defined(BUG_COPYFREE)
        hok=0;
#else
        atomic { ALIVE -> c=link[j] };
        atomic { ALIVE -> hok=(st[c]==QUAR && nm[c]==j) };
#endif
        if
        :: hok -> atomic { ALIVE -> if :: IS(j,COPY,x,ln) -> SET(j,REDELIV,0,at[j]) :: else fi }; atomic { ALIVE -> rbit=1 }
        :: else -> atomic { ALIVE -> if :: IS(j,COPY,x,ln) -> SET(j,FREE,0,0) :: else fi }
        fi
     :: ls==REDELIV -> atomic { ALIVE -> rbit=1 }
     :: else
     fi; j++
  :: else -> break
  od;
  atomic { j=0; ls=0; lo=0; ln=0; hok=0; c=NIL; recovered[x]=1 } }

#define LOCALS byte c=NIL, k, j, b=NIL, ls, lo, ln, ws, wo, wn, hs, ho, hn; bit ok, hok
#define CHECK assert(cnt[TAKE]==did[TAKE] && cnt[ACK]==did[ACK])
proctype Drain(byte me) {
  LOCALS;
  look(); drain();                                             /* beside everybody */
  atomic { GONE(V) && GONE(E) -> skip };
  if :: did[TAKE]==0 -> recover(V); recover(E); goto over :: else fi;   /* V was killed before it took anything */
  look(); drain();
  for (k : 1 .. MSGS) { assert(acked[k]==1) } k=0;             /* though the dead are not recovered */
  if :: dead[V] && !recovered[V] -> recover(V) :: else fi;    /* once somebody has, nobody does again */
  if :: dead[E] && !recovered[E] -> recover(E) :: else fi;
  drain();
  for (k : 1 .. MSGS) { assert(acked[k]==1) } k=0;
  atomic { for (k : 0 .. NB-1) { assert(st[k]==FREE || (st[k]==OWNED && ow[k]==P)) } k=0; CHECK };
over:
  atomic { CHECK; done=1; fin[D]=1 } }

proctype Rec(byte me) {
  LOCALS;
  if
  :: atomic { dead[V] && ALIVE -> skip }; recover(V)
  :: atomic { dead[E] && ALIVE -> skip }; recover(E)
  fi;
  if :: done -> CHECK :: else fi }

proctype Writer(byte me) {
  byte k, c=NIL, n;
  do
  :: n<WRITES ->
     atomic { if :: st[0]==FREE -> c=0 :: st[1]==FREE -> c=1 :: st[2]==FREE -> c=2 :: st[NB-1]==FREE -> c=NB-1 :: else -> c=NIL fi;
              if :: c!=NIL -> SET(c,OWNED,P,0) :: else fi };
     if :: c!=NIL -> atomic { assert(!holds[c]); pay[c]=99 }; atomic { SET(c,FREE,0,0) } :: else fi;
     n++
  :: else -> break
  od }

/* dead: it makes no step any more; it counts as killed as soon as somebody recovers it */
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++ }
proctype Crash() {
  do
  KILL(V) KILL(E) KILL(R)
  :: break
  od }
init { atomic {
  SET(0,COMMIT,0,POS); pay[0]=1;
#if MSGS>1
  SET(1,LEASED,V,POS); pay[1]=2; holds[1]=1;
#endif
  run Victim(V); run Enforcer(E); run Drain(D);
#ifndef NOR
  run Rec(R);
#endif
#if WRITES>0
  run Writer(P);
#endif
  run Crash() } }
