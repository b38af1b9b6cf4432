/* delay.pml -- messages that wait for a time, and dead letters.
 *
 * NB messages: the first is leased by C, the last, if there are two, by D (-DALONE: there is no C).  A holder acks, gives back at
 * once, or with a delay: due and mark are set, next_due is lowered and counted, then LEASED -> DELAYED.  Whoever gets looks first
 * whether something is due: it goes over the marked blocks, makes due ones REDELIV, raises the redelivery word, and only then
 * moves next_due, by CAS of the value that it read before, to the least due time seen, also of blocks that are LEASED with a due
 * time (their holder is on the way).  A taker clears mark and due; or parks the message again, if it is not due: a looker may have
 * seen it due, stood still, and released it when it had been taken and given back for later.  Beyond MAXD deliveries it becomes
 * DEAD.
 *
 * C may be killed anywhere: D recovers it.  L is a third who looks, and may be stopped for ever anywhere.
 * Checked when nothing moves any more and all time has passed: every message is acked or DEAD, exactly once; DEAD only
 * beyond MAXD deliveries; deliveries are never more than MAXD + 1 and what kills added; none comes before it is due.  A sleeper is awake when the
 * redelivery bit is set, when next_due has come, or when somebody died.
 *
 * other*[p]: the word was changed since p read it; stands for comparing the counter in it.
 */
#ifndef NB
#define NB 2
#endif
#ifndef TMAX
#define TMAX 2
#endif
#ifndef GIVES
#define GIVES 2         /* times that somebody gives back, at most */
#endif
#ifndef MAXD
#define MAXD 9
#endif
#ifndef MAXC
#define MAXC 1
#endif
#define C 1
#define D 2
#define L 3
#define NIL 9
#define FREE 0
#define LEASED 3
#define REDELIV 4
#define DELAYED 5
#define DEAD 6
byte bst[NB], bown[NB], bdue[NB], deliv[NB]; bit mark[NB];
byte when[NB];                                   /* ghost: not handed out before */
byte nd; bit otherd[4];                          /* next_due; 0: none */
bit rbit, otherr[4];                             /* the redelivery word */
byte now=1, gives;
bit dead[4], fin[4], ent=1; byte crashes;
byte acked[NB];
#define ALIVE (!dead[me] && !(me==L && halted))
bit halted;                                      /* L is stopped for good */
#define CHD otherd[C]=1; otherd[D]=1; otherd[L]=1
#define CHR otherr[C]=1; otherr[D]=1; otherr[L]=1
#define REDELIVER atomic { ALIVE -> rbit=1; CHR }
inline lower(t) { atomic { ALIVE -> if :: nd==0 || t<nd -> nd=t :: else fi; CHD } }
inline look() {
  atomic { ALIVE -> seen=nd; otherd[me]=0; at=now };
  if
  :: seen==0 || seen>at
  :: else ->
     j=0; least=0; ok=0;
     do
     :: j<NB ->
        atomic { ALIVE -> ws=(mark[j] -> bst[j] : FREE) };
        if
        :: ws==FREE
        :: else ->
           atomic { ALIVE -> du=bdue[j] };
           if
           :: ws==DELAYED && du<=at -> atomic { ALIVE -> if :: bst[j]==DELAYED -> bst[j]=REDELIV :: else fi }; ok=1
           :: ws==DELAYED && du>at -> if :: least==0 || du<least -> least=du :: else fi
#ifndef BUG_NOTLEASED
           :: ws==LEASED && du!=0 -> if :: du<at -> du=at :: else fi; if :: least==0 || du<least -> least=du :: else fi
#endif
#ifndef BUG_NOTSEEN      /* one that is REDELIV: its releaser may be stopped before he has told anybody */
           :: ws==REDELIV -> ok=1
#endif
           :: else
           fi
        fi; j++
     :: else -> break
     od;
#ifdef BUG_RAISEFIRST
     atomic { ALIVE -> if :: !otherd[me] -> nd=least; CHD :: else fi };
     if :: ok -> REDELIVER :: else fi
#else
     if :: ok -> REDELIVER :: else fi;
#ifdef BUG_NOCOUNT       /* compares the time only */
     atomic { ALIVE -> if :: nd==seen -> nd=least; CHD :: else fi }
#else
     atomic { ALIVE -> if :: !otherd[me] -> nd=least; CHD :: else fi }
#endif
#endif
  fi;
  atomic { j=0; least=0; ok=0; ws=0; du=0; seen=0; at=0; otherd[me]=1 } }
inline take() {
  atomic { ALIVE -> ok=rbit; otherr[me]=0 };
  if
  :: ok ->
     atomic { ALIVE ->
       for (j : 0 .. NB-1) { if :: b==NIL && mark[j] && bst[j]==REDELIV -> b=j :: else fi } j=0;
       if :: b!=NIL -> bst[b]=LEASED; bown[b]=me :: else -> if :: !otherr[me] -> rbit=0; CHR :: else fi fi };
     if
     :: b!=NIL ->
        atomic { ALIVE -> mark[b]=0 };
#ifndef BUG_BELIEVED     /* what is REDELIV is due: but it may have been given back for later since its releaser looked */
        atomic { ALIVE -> du=bdue[b]; ok=(du>now) };
        if
        :: ok -> atomic { ALIVE -> mark[b]=1 }; lower(du);
                 atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=DELAYED; bown[b]=0; b=NIL; ok=0; du=0 }; goto taken
        :: else -> du=0
        fi;
#endif
        atomic { ALIVE -> assert(now>=when[b]); bdue[b]=0 };
        atomic { ALIVE -> deliv[b]++ };
#ifdef BUG_ONEMORE        /* handed out once too often */
        if :: deliv[b]>MAXD+1 ->
#else
        if
        :: deliv[b]>MAXD ->
#endif
           atomic { ALIVE -> mark[b]=1 }; atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=DEAD; bown[b]=0; b=NIL }
        :: else -> assert(deliv[b]<=MAXD)
        fi
     :: else
     fi
  :: else
  fi;
taken: atomic { ok=0; otherr[me]=1 } }
inline settle() {
  if
  :: atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=FREE; bown[b]=0; acked[b]++; b=NIL }
  :: atomic { ALIVE && gives<GIVES -> gives++ }; atomic { ALIVE -> mark[b]=1 };
     atomic { ALIVE -> when[b]=0; bst[b]=REDELIV; bown[b]=0; b=NIL }; REDELIVER
  :: atomic { ALIVE && gives<GIVES -> gives++; du=now+1 };
     if
     :: du>TMAX -> du=TMAX
     :: else
     fi;
#ifdef BUG_WORDFIRST
     atomic { ALIVE -> when[b]=du; bst[b]=DELAYED; bown[b]=0 };
     atomic { ALIVE -> bdue[b]=du }; atomic { ALIVE -> mark[b]=1 }; lower(du); b=NIL;
#else
     atomic { ALIVE -> bdue[b]=du };
     atomic { ALIVE -> mark[b]=1 };
     lower(du);
     atomic { ALIVE -> when[b]=du; bst[b]=DELAYED; bown[b]=0; b=NIL };
#endif
     du=0
  fi }
inline recover() {
  j=0;
  do
  :: j<NB ->
     if
     :: bst[j]==LEASED && bown[j]==C -> mark[j]=1; bst[j]=REDELIV; bown[j]=0; ok=1
     :: bst[j]==REDELIV -> ok=1
     :: else
     fi; j++
  :: else -> break
  od;
  if :: ok -> REDELIVER :: else fi; atomic { j=0; ok=0 };
  /* next_due need not be touched: the nacker lowered it before his word, and a looker never raises it past a LEASED one
   * with a due time.  -DLOWER does it all the same, as the library does. */
#ifdef LOWER
  if :: nd!=0 -> lower(now) :: else fi;
#endif
  ent=0 }
proctype User(byte me; byte b) { byte j, least, seen, at, ws, du; bit ok;
  do
  :: b!=NIL -> settle()
  :: else -> if :: me==D && dead[C] && ent -> recover() :: else fi;
             look(); take();
             if
             :: b!=NIL
             :: b==NIL && me==C -> break
             :: b==NIL && me==D -> rbit || (nd!=0 && nd<=now) || (dead[C] && ent)       /* asleep */
             fi
  od;
  fin[me]=1 }
proctype Looker(byte me) { byte j, least, seen, at, ws, du; bit ok; look();
#ifdef LOOKS2
  look();
#endif
  fin[me]=1 }
proctype Clock() { do :: now<TMAX -> now++ :: else -> break od }
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++ }
proctype Crash() { do KILL(C)
  :: !halted && !fin[L] -> halted=1
  :: break od }
init { byte i;
  atomic {
#ifdef ALONE
    bst[0]=LEASED; bown[0]=D; deliv[0]=1; run User(D,0);
#else
    for (i : 0 .. NB-1) { bst[i]=LEASED; bown[i]=(i==0 -> C : D); deliv[i]=1 } i=0;
    run User(C,0); run User(D,(NB>1 -> NB-1 : NIL));
#endif
    run Looker(L); run Clock(); run Crash() };
  timeout;
  for (i : 0 .. NB-1) {
    assert((bst[i]==FREE && acked[i]==1) || (bst[i]==DEAD && acked[i]==0 && deliv[i]>MAXD && deliv[i]<=MAXD+1+crashes)) } }
