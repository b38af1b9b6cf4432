/* dead.pml -- dead letters: the view of them, kicking, overflow, and deaths of all who do that.
 *
 * NB messages that are to be handed out again, each with its last delivery behind it (deliv = MAXD) or its time (old).  T, and U
 * with -DTWO, take them and judge: beyond MAXD, or old, the letter's bit is set, then the mark, then LEASED -> DEAD; then, beyond
 * MAXDEAD, the lowest letter is leased and dropped.
 * V leases letters (-DVIEW: so many times) and acks, gives back, or kicks: deliveries and age go, then the bit, mark, REDELIV.
 * One of T and V may be killed anywhere; R and S recover it: by the bit LEASED becomes DEAD or REDELIV.  R may stop for ever.
 *
 * Checked: nothing that bears the bit is handed out; when nothing moves any more each message is acked or dropped, once, or a
 * letter with bit and mark, or to be handed out with a mark and told of, but without the bit; nothing is leased; V does not
 * sleep beside a letter; no letter was dropped while there were MAXDEAD or fewer, and, nobody killed, at most MAXDEAD are left.
 */
#ifndef NB
#define NB 1
#endif
#ifndef MAXD
#define MAXD 1
#endif
#ifndef MAXDEAD
#define MAXDEAD 9
#endif
#ifndef VIEW
#define VIEW 0
#endif
#ifndef MAXC
#define MAXC 1
#endif
#define T 1
#define U 2
#define V 3
#define R 4
#define S 5
#define NIL 9
#define FREE 0
#define LEASED 3
#define REDELIV 4
#define DEAD 9
byte st[NB], own[NB], deliv[NB], acked[NB], dropped[NB]; bit old[NB], letter[NB], mark[NB];
bit rbit, otherr[4];                     /* the redelivery word; other*[p]: it changed since p read it */
byte dw;                                 /* the wait word of the view: 0 nobody armed, 1 armed */
bit vsleeps, halted; bit gone[6], fin[6]; byte crashes, victim=NIL, kicks, ghosts;
#define ALIVE (!gone[me] && !(me==R && halted))
#define CHR otherr[T]=1; otherr[U]=1; otherr[V]=1
#define REDELIVER atomic { ALIVE -> rbit=1; CHR }
#define WAKE atomic { ALIVE -> dw=0; vsleeps=0 }
/* number of marked DEAD ones and the lowest, one look a block */
inline find() {
  atomic { i=0; n=0; l=NIL };
  do
  :: i<NB -> atomic { ALIVE -> if :: mark[i] && st[i]==DEAD -> n++; if :: l==NIL -> l=i :: else fi :: else fi; i++ }
  :: else -> break
  od; i=0 }
inline make_dead(x) {
#ifdef BUG_MARKLATE
  atomic { ALIVE -> assert(st[x]==LEASED && own[x]==me); st[x]=DEAD; own[x]=0 };
  atomic { ALIVE -> mark[x]=1 };
#else
  atomic { ALIVE -> mark[x]=1 };
  atomic { ALIVE -> assert(st[x]==LEASED && own[x]==me); st[x]=DEAD; own[x]=0 };
#endif
#ifndef BUG_NOWAKE
  WAKE
#endif
}
inline trim() {
  do
  :: find();
     if
     :: n<=MAXDEAD -> break
     :: else ->
#ifdef BUG_TRIMANY        /* not the lowest, but whichever comes to hand */
        x=(me==T || st[l]!=DEAD || l==NB-1 || st[l+1]!=DEAD -> l : l+1);
#else
        x=l;
#endif
        atomic { ALIVE -> if :: st[x]==DEAD -> st[x]=LEASED; own[x]=me :: else -> x=NIL fi };
        if
        :: x==NIL
        :: else ->
           atomic { ALIVE -> mark[x]=0 };
           atomic { ALIVE -> assert(st[x]==LEASED && own[x]==me); st[x]=FREE; own[x]=0; dropped[x]++ };
           if :: n==MAXDEAD+1 -> break :: else fi
        fi
     fi
  od; atomic { x=NIL; n=0; l=NIL } }
inline bury() {
#ifdef BUG_BITLATE
  make_dead(b);
  atomic { ALIVE -> if :: letter[b]==0 && st[b]!=DEAD -> ghosts++ :: else fi; letter[b]=1 };
#else
  atomic { ALIVE -> letter[b]=1 };
  make_dead(b);
#endif
  b=NIL; trim() }
inline take() {
  atomic { ALIVE -> ok=rbit; otherr[me]=0 };
  if
  :: ok ->
     atomic { ALIVE ->
       for (i : 0 .. NB-1) { if :: b==NIL && mark[i] && st[i]==REDELIV -> b=i :: else fi } i=0;
       if :: b!=NIL -> st[b]=LEASED; own[b]=me :: else -> if :: !otherr[me] -> rbit=0; CHR :: else fi fi };
     if
     :: b!=NIL -> atomic { ALIVE -> mark[b]=0 }; atomic { ALIVE -> deliv[b]++ };
        if
        :: deliv[b]>MAXD || old[b] -> bury()
        :: else -> assert(!letter[b]);
           atomic { ALIVE -> assert(st[b]==LEASED && own[b]==me); st[b]=FREE; own[b]=0; acked[b]++; b=NIL }
        fi
     :: else
     fi
  :: else
  fi; atomic { ok=0; otherr[me]=1 } }
proctype Taker(byte me) { byte b=NIL, i, n, l=NIL, x=NIL; bit ok;
end: do
  :: rbit && ALIVE -> take()
  od }
proctype Viewer(byte me) { byte b=NIL, i, n, l=NIL, x=NIL, turns;
end: do
  :: ALIVE && !vsleeps && turns<VIEW ->
     find();
     if
     :: l!=NIL -> b=l; atomic { ALIVE -> if :: st[b]==DEAD -> st[b]=LEASED; own[b]=me :: else -> b=NIL fi }
     :: l==NIL ->
        atomic { ALIVE -> dw=1 };
        find();
        if
        :: l==NIL -> atomic { ALIVE -> if :: dw -> vsleeps=1 :: else fi }   /* futex: only if the word did not change */
        :: else
        fi
     fi;
     if
     :: b!=NIL ->
        turns++;
        atomic { ALIVE -> mark[b]=0 };
        if
        :: atomic { ALIVE -> assert(st[b]==LEASED && own[b]==me); st[b]=FREE; own[b]=0; acked[b]++; b=NIL }
        :: make_dead(b); b=NIL; trim()
        :: kicks<1 -> kicks++;
#ifdef BUG_KICKWORDFIRST
           atomic { ALIVE -> mark[b]=1 }; atomic { ALIVE -> st[b]=REDELIV; own[b]=0 }; REDELIVER;
           atomic { ALIVE -> deliv[b]=0; old[b]=0 }; atomic { ALIVE -> letter[b]=0; b=NIL }
#else
           atomic { ALIVE -> deliv[b]=0 }; atomic { ALIVE -> old[b]=0 };
#ifndef BUG_KEEPBIT
           atomic { ALIVE -> letter[b]=0 };
#endif
           atomic { ALIVE -> mark[b]=1 };
           atomic { ALIVE -> assert(st[b]==LEASED && own[b]==me); st[b]=REDELIV; own[b]=0; b=NIL }; REDELIVER
#endif
        fi
     :: else
     fi
  od }
/* of the dead victim: any number, any of them stopped anywhere */
proctype Recoverer(byte me) { byte j; bit led, lt, ok;
  victim!=NIL && ALIVE;
  do
  :: j<NB ->
     atomic { ALIVE -> led=(st[j]==LEASED && own[j]==victim); if :: st[j]==REDELIV -> ok=1 :: else fi };
     if
     :: led ->
        atomic { ALIVE -> mark[j]=1 };
        atomic { ALIVE -> lt=letter[j] };
#ifdef BUG_NOBIT
        lt=0;
#endif
#ifdef BUG_NOCAS
        atomic { ALIVE -> own[j]=0; if :: lt -> st[j]=DEAD :: else -> st[j]=REDELIV fi };
#else
        atomic { ALIVE -> if :: st[j]==LEASED && own[j]==victim -> own[j]=0; if :: lt -> st[j]=DEAD :: else -> st[j]=REDELIV fi
                          :: else fi };
#endif
        if :: !lt -> ok=1 :: else fi
     :: else
     fi;
     atomic { led=0; lt=0; j++ }
  :: else -> break
  od;
  if :: ok -> REDELIVER :: else fi;
  WAKE;
  fin[me]=1 }
#define KILL(p) :: atomic { crashes<MAXC && victim==NIL -> gone[p]=1; victim=p; crashes++ }
proctype Crash() { do KILL(T)
#if VIEW
  KILL(V)
#endif
  :: atomic { !halted && !fin[R] -> halted=1 }
  :: break od }
init { byte i, dead, drops;
  atomic {
    for (i : 0 .. NB-1) { st[i]=REDELIV; mark[i]=1;
      if :: deliv[i]=MAXD :: old[i]=1 fi } i=0;
    rbit=1;
    run Taker(T);
#ifdef TWO
    run Taker(U);
#endif
#if VIEW
    run Viewer(V);
#endif
    run Recoverer(R); run Recoverer(S); run Crash() };
  timeout;
  assert(ghosts==0);
  for (i : 0 .. NB-1) {
    assert(acked[i]+dropped[i]<=1);
    assert((st[i]==FREE && acked[i]+dropped[i]==1) ||
           (st[i]==DEAD && acked[i]+dropped[i]==0 && letter[i] && mark[i]) ||
           (st[i]==REDELIV && acked[i]+dropped[i]==0 && !letter[i] && mark[i] && rbit && gone[T]));
    if :: st[i]==DEAD -> dead++ :: else fi;
    drops=drops+dropped[i] }
  assert(!(vsleeps && dead>0 && !gone[V]));
#if !VIEW
  assert(drops==0 || dead>=MAXDEAD);
#endif
  assert(crashes>0 || dead<=MAXDEAD) }
