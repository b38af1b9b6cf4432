/* census.pml -- is a message gone?  A census goes over the blocks while leases run out and the message moves from block to block.
 *
 * One message, leased by V.  E and F end leases: copy in a free block, COPY (announced by number), LEASED -> QUAR, COPY -> REDELIV;
 * either may be stopped for ever anywhere.  T leases what is REDELIV, again and again.  V and T may ack in time; whoever comes late finds QUAR, hands
 * on the copy and frees its block.  A asks: END's census, or whether a job is lost (pti_ring_is_lost): the passes are the same.
 *
 * Checked: A answers "gone" only if the message was acked; and once nobody moves any more and it was, A does answer that.
 *
 * One `atomic` is one access of one word, or a CAS.  Sequential consistency.
 */
#ifndef NB
#define NB 3
#endif
#ifndef ROUNDS
#define ROUNDS 2        /* leases that E ends; F ends one */
#endif
#ifndef TAKES
#define TAKES 1         /* of T */
#endif
#ifndef PASSES
#define PASSES 3
#endif
#define V 1
#define T 2
#define E 3
#define F 4
#define A 5
#define NIL 9
#define FREE 0
#define OWNED 1
#define LEASED 3
#define REDELIV 4
#define QUAR 5
#define COPY 6
byte st[NB], ow[NB], nm[NB], link[NB]=NIL;     /* the word; nm: number of a COPY, or the copy's block of a QUAR */
byte num[6];                                   /* copies announced by each entry */
bit acked, fin[6], stop[6];
#define ALIVE !stop[me]
#define IS(b,s,o,n) (st[b]==s && ow[b]==o && nm[b]==n)
#define SET(b,s,o,n) st[b]=s; ow[b]=o; nm[b]=n

/* COPY (o,n) in q becomes REDELIV, if its source is in quarantine for it */
inline finish(q,o,n) {
  atomic { ALIVE -> s=link[q] };
  atomic { ALIVE -> ok=(s!=NIL && st[s]==QUAR && nm[s]==q) };
  if :: ok -> atomic { ALIVE -> if :: IS(q,COPY,o,n) -> SET(q,REDELIV,0,0) :: else fi } :: else fi;
  atomic { s=NIL; ok=0 } }

inline enforce(b) {
  atomic { ALIVE -> if :: st[0]==FREE -> c=0 :: st[1]==FREE -> c=1 :: st[NB-1]==FREE -> c=NB-1
                       :: st[0]!=FREE && st[1]!=FREE && st[NB-1]!=FREE -> c=NIL fi;
                    if :: c!=NIL -> SET(c,OWNED,me,0) :: else fi };
  if
  :: c!=NIL ->
     atomic { ALIVE -> ws=st[b]; wo=ow[b] };
     if
     :: ws==LEASED ->
        atomic { ALIVE -> link[c]=b };
        atomic { ALIVE -> num[me]++ };
        atomic { ALIVE -> SET(c,COPY,me,num[me]) };
        atomic { ALIVE -> ok=(st[b]==LEASED && ow[b]==wo); if :: ok -> SET(b,QUAR,wo,c) :: else fi };
        if
        :: ok -> atomic { ALIVE -> if :: IS(c,COPY,me,num[me]) -> SET(c,REDELIV,0,0) :: else fi }
        :: else -> atomic { ALIVE -> SET(c,FREE,0,0) }
        fi
     :: else -> atomic { ALIVE -> SET(c,FREE,0,0) }
     fi
  :: else
  fi;
  atomic { c=NIL; ws=0; wo=0; ok=0 } }
proctype Enforcer(byte me; byte rounds) { byte c=NIL, b, ws, wo; bit ok;
  do
  :: rounds>0 -> rounds--;
     atomic { ALIVE -> if :: st[0]==LEASED -> b=0 :: st[1]==LEASED -> b=1 :: st[NB-1]==LEASED -> b=NB-1 :: true -> b=NIL fi };
     if :: b!=NIL -> enforce(b) :: else fi; b=0
  :: else -> break
  od;
  fin[me]=1 }

/* in time, or late; whether it ever comes is up to Stop */
inline ack(b) {
  atomic { ok=(st[b]==LEASED && ow[b]==me); if :: ok -> SET(b,FREE,0,0); acked=1 :: else assert(st[b]==QUAR && ow[b]==me); q=nm[b] fi };
  if
  :: ok
  :: else ->
     atomic { ALIVE -> hs=st[q]; ho=ow[q]; hn=nm[q]; ok=0 };
     if :: hs==COPY -> finish(q,ho,hn) :: else fi;
     atomic { ALIVE -> assert(IS(b,QUAR,me,q)); SET(b,FREE,0,0) }
  fi;
  atomic { ok=0; q=0; hs=0; ho=0; hn=0 } }
proctype Holder(byte me; byte b; byte takes) { byte q, hs, ho, hn, s=NIL; bit ok;
  do
  :: b!=NIL -> ack(b); b=NIL
  :: b==NIL && takes>0 -> takes--;
     atomic { ALIVE -> if :: st[0]==REDELIV -> b=0 :: st[1]==REDELIV -> b=1 :: st[NB-1]==REDELIV -> b=NB-1 :: true -> b=NIL fi;
              if :: b!=NIL -> SET(b,LEASED,me,0) :: else fi }
  :: b==NIL && takes==0 -> break
  od;
  fin[me]=1 }

/* seen: a message; sum: the words in quarantine, one bit pattern each (block, copy, owner) */
inline look() {
  j=0; seen=0; sum=0;
  do
  :: j<NB && !seen ->
     atomic { ws=st[j]; wo=ow[j]; wn=nm[j] };
     if
     :: ws==REDELIV || ws==LEASED -> seen=1
     :: ws==COPY -> atomic { wn=link[j] }; atomic { if :: wn!=NIL && st[wn]==QUAR && nm[wn]==j -> seen=1 :: else fi }
     :: ws==QUAR -> sum=sum+(1+wn+NB*(wo-1))*(j==0 -> 1 : (j==1 -> 8 : 64))
     :: else
     fi; j++
  :: else -> break
  od;
  atomic { j=0; ws=0; wo=0; wn=0 } }
#define COUNT(n) atomic { n=num[E] }; atomic { n=n+num[F] }
inline census() {                              /* gone: nothing was seen */
  atomic { pass=0; before=0; copies=0; gone=0 };
  do
  :: pass<PASSES ->
     COUNT(now);
     look();
     if :: seen -> break :: else fi;
#if defined(BUG_ONEPASS)        /* nothing is in quarantine: believed at once */
     if :: sum==before -> gone=1; break :: else fi;
#elif defined(BUG_NOCOPIES)     /* copies that came and went are not counted */
     if :: sum==before && pass>0 -> gone=1; break :: else fi;
#elif defined(BUG_NOSUM)        /* words in quarantine are not compared */
     COUNT(t); if :: pass>0 && t==copies -> gone=1; break :: else fi;
#elif defined(BUG_LASTPASS)     /* copies are counted from the last pass only */
     COUNT(t); if :: sum==before && pass>0 && t==now -> gone=1; break :: else fi;
#else
     if :: sum==before && pass>0 -> COUNT(t); if :: t==copies -> gone=1; break :: else fi :: else fi;
#endif
     atomic { before=sum; copies=now; pass++; t=0 }
  :: else -> break
  od;
  atomic { pass=0; before=0; copies=0; now=0; t=0; sum=0; seen=0 } }
proctype Asker() { byte j, ws, wo, wn, pass, copies, now, t; short sum, before; bit seen, gone;
  census();
  assert(!gone || acked);
  atomic { (fin[V] && fin[T] && (fin[E] || stop[E]) && (fin[F] || stop[F])) -> gone=0 };
  if :: acked -> census(); assert(gone) :: else fi }
proctype Stop() {
  do
  :: atomic { !fin[E] && !stop[E] -> stop[E]=1 }
  :: atomic { !fin[F] && !stop[F] -> stop[F]=1 }
  :: break
  od }
init { atomic {
  SET(NB-1,LEASED,V,0);                  /* read last: each move may be to a block that was read before */
  run Holder(V,NB-1,0); run Holder(T,NIL,TAKES); run Enforcer(E,ROUNDS);
#ifndef NOF
  run Enforcer(F,1);
#else
  fin[F]=1;
#endif
  run Asker();
#ifndef NOSTOP
  run Stop()
#endif
  } }
