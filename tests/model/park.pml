/* park.pml -- a message that was put with a delay: who meets it too early parks it.
 *
 * NB messages stand in the ring, COMMIT, with due times.  C and D take: LEASED by CAS; not due yet: mark, lower next_due, then
 * LEASED -> DELAYED; due: due is cleared, a delivery counted, acked.  So may a producer who finds the ring full: he is a taker
 * who never keeps one (C with -DPRODUCER).  A looker releases what is due, as in delay.pml.  C may be killed anywhere; D recovers
 * it, and L, a second recoverer, who may be stopped for ever anywhere: what C had leased becomes DELAYED where it is not due,
 * after next_due was lowered, else REDELIV.  D stops at END: when its census finds nothing REDELIV, DELAYED, or LEASED by another.
 *
 * Checked: nothing is handed out before it is due; at the end every message was acked by somebody, once; parking is no
 * delivery.  other*[p]: the word was changed since p read it; stands for comparing the counter in it.
 */
#ifndef NB
#define NB 1
#endif
#ifndef TMAX
#define TMAX 3
#endif
#ifndef MAXC
#define MAXC 1
#endif
#define C 1
#define D 2
#define L 3
#define NIL 9
#define FREE 0
#define COMMIT 1
#define LEASED 3
#define REDELIV 4
#define DELAYED 5
byte bst[NB], bown[NB], bdue[NB], when[NB], deliv[NB], acked[NB]; bit mark[NB];
byte nd; bit otherd[4];                          /* next_due; 0: none */
bit rbit, otherr[4];                             /* the redelivery word */
byte now=1;
bit dead[4], fin[4], ent=1, halted; byte crashes;
#define ALIVE (!dead[me] && !(me==L && halted))
#define CHD otherd[C]=1; otherd[D]=1; otherd[L]=1
#define CHR otherr[C]=1; otherr[D]=1; otherr[L]=1
#define REDELIVER atomic { ALIVE -> rbit=1; CHR }
inline lower(t) { atomic { ALIVE -> if :: nd==0 || t<nd -> nd=t :: else fi; CHD } }
inline look() {
  atomic { ALIVE -> seen=nd; otherd[me]=0; at=now };
  if
  :: seen==0 || seen>at
  :: else ->
     atomic { j=0; least=0; ok=0 };
     do
     :: j<NB ->
        atomic { ALIVE -> ws=(mark[j] -> bst[j] : FREE) };
        if
        :: ws==FREE || ws==COMMIT
        :: else ->
           atomic { ALIVE -> du=bdue[j] };
           if
           :: ws==DELAYED && du<=at -> atomic { ALIVE -> if :: bst[j]==DELAYED -> bst[j]=REDELIV :: else fi }; ok=1
           :: ws==DELAYED && du>at -> if :: least==0 || du<least -> least=du :: else fi
#ifndef BUG_NOTLEASED   /* a parker on his way is not seen */
           :: ws==LEASED && du!=0 -> if :: du<at -> du=at :: else fi; if :: least==0 || du<least -> least=du :: else fi
#endif
           :: ws==REDELIV -> ok=1
           :: else
           fi
        fi; j++
     :: else -> break
     od;
     if :: ok -> REDELIVER :: else fi;
     atomic { ALIVE -> if :: !otherd[me] -> nd=least; CHD :: else fi }
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
     :: b!=NIL -> atomic { ALIVE -> mark[b]=0 }; atomic { ALIVE -> bdue[b]=0 }
     :: else
     fi
  :: else ->
     atomic { ALIVE ->
       for (j : 0 .. NB-1) { if :: b==NIL && bst[j]==COMMIT -> b=j :: else fi } j=0;
       if :: b!=NIL -> bst[b]=LEASED; bown[b]=me :: else fi }
  fi; atomic { ok=0; otherr[me]=1 } }
inline park() {
#ifdef BUG_COUNTED
  atomic { ALIVE -> deliv[b]++ };
#endif
#ifdef BUG_WORDFIRST
  atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=DELAYED; bown[b]=0 };
  atomic { ALIVE -> mark[b]=1 }; atomic { ALIVE -> du=bdue[b] }; lower(du); b=NIL; du=0
#else
  atomic { ALIVE -> mark[b]=1; du=bdue[b] };
  lower(du);
  atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=DELAYED; bown[b]=0; b=NIL; du=0 }
#endif
}
inline judge() {                                  /* one look at the clock */
  atomic { ALIVE -> ok=(bdue[b]>now) };
  if
  :: ok -> ok=0; park()
  :: else ->
     atomic { ALIVE -> bdue[b]=0 };
     atomic { ALIVE -> assert(now>=when[b]); deliv[b]++ };
     atomic { ALIVE -> assert(bst[b]==LEASED && bown[b]==me); bst[b]=FREE; bown[b]=0; acked[b]++; b=NIL }
  fi }
inline recover() {
  atomic { j=0; ok=0 };
  do
  :: j<NB ->
     atomic { ALIVE -> ws=(bst[j]==LEASED && bown[j]==C -> LEASED : (bst[j]==REDELIV -> REDELIV : FREE)) };
     if
     :: ws==LEASED ->
        atomic { ALIVE -> mark[j]=1; du=bdue[j]; at=now };
        if
#ifndef BUG_EARLY        /* recovery asks for no due time */
        :: du>at ->
#ifndef BUG_NOLOWER      /* recovery parks without lowering next_due */
           lower(du);
#endif
           atomic { ALIVE -> if :: bst[j]==LEASED && bown[j]==C -> bst[j]=DELAYED; bown[j]=0 :: else fi }
        :: else ->
#else
        :: true ->
#endif
           atomic { ALIVE -> if :: bst[j]==LEASED && bown[j]==C -> bst[j]=REDELIV; bown[j]=0 :: else fi }; ok=1
        fi
     :: ws==REDELIV -> ok=1
     :: else
     fi; j++
  :: else -> break
  od;
  if :: ok -> REDELIVER :: else fi;
  if :: nd!=0 -> lower(now) :: else fi;
  atomic { ALIVE -> ent=0 };
  atomic { j=0; ok=0; ws=0; du=0; at=0 } }
inline census() {                                 /* ok: END */
  atomic { j=0; ok=1 };
  do
  :: j<NB -> atomic { ALIVE ->
#ifdef BUG_NODELAYED
       if :: bst[j]==COMMIT || bst[j]==REDELIV || (bst[j]==LEASED && bown[j]!=me) -> ok=0 :: else fi }; j++
#else
       if :: bst[j]==COMMIT || bst[j]==REDELIV || bst[j]==DELAYED || (bst[j]==LEASED && bown[j]!=me) -> ok=0 :: else fi }; j++
#endif
  :: else -> break
  od; j=0 }
proctype Taker(byte me) { byte b=NIL, j, least, seen, at, ws, du; bit ok;
  do
  :: if :: me==D && dead[C] && ent -> recover() :: else fi;
     look(); take();
     if
     :: b!=NIL -> judge()
     :: b==NIL && me==C -> break
     :: b==NIL && me==D -> census();
        if
        :: ok -> break
        :: else -> rbit || (nd!=0 && nd<=now) || (dead[C] && ent) ||     /* asleep; whoever settles or parks one wakes it */
                   (bst[0]!=DELAYED && bst[NB-1]!=DELAYED && !(bst[0]==LEASED && bown[0]!=D) && !(bst[NB-1]==LEASED && bown[NB-1]!=D))
        fi
     fi
  od;
  ok=0; fin[me]=1 }
proctype Producer(byte me) { byte b=NIL, j, least, seen, at, ws, du; bit ok;    /* parks, or finds nothing to park */
  atomic { ALIVE -> if :: bst[0]==COMMIT && bdue[0]>now -> b=0; bst[0]=LEASED; bown[0]=me :: else fi };
  if :: b!=NIL -> park() :: else fi;
  fin[me]=1 }
proctype Looker(byte me) { byte j, least, seen, at, ws, du; bit ok;
  if :: dead[C] && ent -> recover() :: look() fi;
  fin[me]=1 }
proctype Clock() { do :: now<TMAX -> now++ :: else -> break od }
proctype Crash() { do
  :: atomic { crashes<MAXC && !fin[C] && !dead[C] -> dead[C]=1; crashes++ }
  :: atomic { !halted && !fin[L] -> halted=1 }
  :: break od }
init { byte i;
  atomic {
    for (i : 0 .. NB-1) { bst[i]=COMMIT; bdue[i]=2+i; when[i]=2+i } i=0;
#ifdef PRODUCER
    run Producer(C);
#else
    run Taker(C);
#endif
    run Taker(D); run Looker(L); run Clock(); run Crash() };
  timeout;
  for (i : 0 .. NB-1) { assert(bst[i]==FREE && acked[i]==1); assert(deliv[i]>=1 && deliv[i]<=1+crashes) } }
