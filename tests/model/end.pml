/* end.pml -- END is an entry; who reads it is told so only when everything before it is settled, and nobody sleeps on.
 *
 * P puts NPUT messages beside PRE that are in; E ends; K (mortal) and G take, ack, give back at once or for later.  At END a
 * consumer sets ENDED, arms the wait word, passes a barrier, counts block by block, sleeps.  An ack is a plain store, which may
 * stand in its processor's store buffer while the acker already reads ENDED and the wait word; the sleeper's membarrier
 * empties all buffers.  A death lets the kernel wake everybody (close of the file); the next getter recovers K.
 *
 * Checked: no publish behind END; END is told only when every message that was put is acked; when nothing moves any
 * more, every living consumer has been told END (no lost wake).  Positions do not wrap here (rts.pml).
 */
#ifndef NB
#define NB 2
#endif
#ifndef PRE
#define PRE 1
#endif
#ifndef NPUT
#define NPUT 1
#endif
#ifndef NACKS
#define NACKS 1         /* times that somebody gives back */
#endif
#ifndef DELAYS
#define DELAYS 0        /* of these with a delay */
#endif
#ifndef MAXC
#define MAXC 1
#endif
#define P 1
#define E 2
#define K 3
#define G 4
#define NIL 9
#define ENDB 8
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDELIV 4
#define DELAYED 5
#define NPOS (PRE+NPUT+2)
byte slot[NPOS];                                 /* NIL: older */
byte bst[NB], bown[NB], bpos[NB], pay[NB];
bit ended, rbit; byte rseq; bit next_due, now_due;
bit w, asleep[5];                                /* get_wait's bit; who sleeps in the futex */
bit closed[5];                                   /* the kernel has told this one of a death: it stays until it is drained */
bit other[5];                                    /* the word is another one than this one saw last: stands for the count */
byte buf[5];                                     /* an ack in K's or G's store buffer: 1 + block */
bit dead[5], fin[5], ent=1; byte crashes, nacks, delays;
/* ghosts */
byte nput, nacked; bit hasend;
#define ALIVE !dead[me]
#define CHANGED other[P]=1; other[E]=1; other[K]=1; other[G]=1
#define FLUSH(c) if :: buf[c]!=0 -> bst[buf[c]-1]=FREE; bown[buf[c]-1]=0; pay[buf[c]-1]=0; buf[c]=0 :: else fi
#define ST(k) (bst[k])
#define LOCKED ALIVE && buf[me]==0               /* a locked instruction waits for the own buffer */

/* wait.pml has this protocol in detail: the word changes before the wake, the bit goes after it */
inline wakeall() {
  do
  :: atomic { ALIVE -> other[me]=0; vw=w };
     if
     :: vw ->
        atomic { LOCKED -> if :: !other[me] -> CHANGED; other[me]=0; ok=1 :: else -> ok=0 fi };
        if
        :: ok -> atomic { ALIVE -> asleep[K]=0; asleep[G]=0 };
                 atomic { LOCKED -> if :: !other[me] -> w=0; CHANGED :: else fi }; break
        :: else
        fi
     :: else -> break
     fi
  od; atomic { vw=0; ok=0; other[me]=1 } }
inline wakeone() {
  do
  :: atomic { ALIVE -> other[me]=0; vw=w };
     if
     :: vw ->
        atomic { LOCKED -> if :: !other[me] -> CHANGED; other[me]=0; ok=1 :: else -> ok=0 fi };
        if
        :: ok -> atomic { ALIVE -> ok=0; if :: asleep[K] -> asleep[K]=0 :: asleep[G] -> asleep[G]=0 :: else -> ok=1 fi };
                 if :: ok -> atomic { LOCKED -> if :: !other[me] -> w=0; CHANGED :: else fi } :: else fi; break
        :: else
        fi
     :: else -> break
     fi
  od; atomic { vw=0; ok=0; other[me]=1 } }
inline redeliver() { atomic { LOCKED -> rseq=(rseq+1)%8; rbit=1 }; wakeall() }

proctype Prod(byte me) { byte k, t, vs; bit vw, ok;
  do
  :: k<NPUT ->
     k++;
     atomic { ALIVE -> if :: bst[0]==FREE && pay[0]==0 -> t=0 :: else -> t=1 fi; bst[t]==FREE -> bst[t]=OWNED; bown[t]=P; pay[t]=k; vs=t; t=0 };
     do
     :: atomic { ALIVE -> if :: slot[t]==NIL -> ok=1 :: else -> ok=0 fi };
        if
        :: ok ->
           atomic { ALIVE -> bst[vs]=COMMIT; bpos[vs]=t };
           atomic { ALIVE -> if :: slot[t]==NIL -> slot[t]=vs; assert(!hasend); nput++; ok=1 :: else -> ok=0 fi };
           if :: ok -> vs=0; wakeone(); break :: else fi
        :: else ->
#ifdef BUG_PUTPAST
           t++
#else
           if :: atomic { ALIVE && slot[t]==ENDB -> bst[vs]=FREE; bown[vs]=0; pay[vs]=0 }; k=NPUT; break     /* EENDED */
              :: atomic { ALIVE && slot[t]!=ENDB -> t++ } fi
#endif
        fi
     od;
     atomic { t=0; vs=0; ok=0 }
  :: else -> break
  od;
  fin[me]=1 }

proctype Ender(byte me) { byte t; bit vw, ok;
  do
  :: atomic { ALIVE && slot[t]==NIL -> skip };
     atomic { ALIVE -> if :: slot[t]==NIL -> slot[t]=ENDB; hasend=1; ok=1 :: else fi };
     if :: ok -> break :: else fi
  :: atomic { ALIVE && slot[t]!=NIL -> t++ }
  od;
  t=0; ok=0;
  atomic { ALIVE -> ended=1 };
  wakeall();
  fin[me]=1 }

#ifdef BUG_NOLEASED
#define UNSETTLED(k) (ST(k)==REDELIV || ST(k)==DELAYED)
#elif defined(BUG_NODELAYED)
#define UNSETTLED(k) (ST(k)==REDELIV || (ST(k)==LEASED && bown[k]!=me))
#else
#define UNSETTLED(k) (ST(k)==REDELIV || ST(k)==DELAYED || (ST(k)==LEASED && bown[k]!=me))
#endif
inline census() {                                /* ok: settled */
  atomic { ALIVE -> ok=!UNSETTLED(0) };
  if :: ok -> atomic { ALIVE -> ok=!UNSETTLED(1) } :: else fi;
#if NB>2
  if :: ok -> atomic { ALIVE -> ok=!UNSETTLED(2) } :: else fi
#endif
}
inline lookdue() {                               /* delay.pml has this in detail */
  if
  :: atomic { LOCKED && next_due && now_due -> next_due=0; ok=0;
       for (j : 0 .. NB-1) { if :: bst[j]==DELAYED -> bst[j]=REDELIV; ok=1 :: else fi } j=0 };
     if :: ok -> redeliver() :: else fi; ok=0
  :: atomic { ALIVE && !(next_due && now_due) -> skip }
  fi }
inline sweep() {                                 /* G finds K dead */
  if
  :: me==G && dead[K] && ent ->
     j=0;
     do
     :: j<NB -> atomic { if :: bst[j]==LEASED && bown[j]==K -> bst[j]=REDELIV; bown[j]=0; ok=1 :: bst[j]==REDELIV -> ok=1 :: else fi }; j++
     :: else -> break
     od; j=0;
     if :: ok -> redeliver() :: else fi;
     atomic { ok=0; ent=0 }
  :: else
  fi }

proctype Cons(byte me) { byte h, b=NIL, j, v; bit vb, vw, ok, isend;
  do
  :: atomic { ALIVE -> closed[me]=0 }; sweep(); lookdue();           /* drain first, then look for the dead */
     atomic { ALIVE -> v=rseq; vb=rbit };
     if
     :: vb ->
        atomic { LOCKED -> if :: bst[0]==REDELIV -> b=0 :: bst[1]==REDELIV -> b=1 :: bst[NB-1]==REDELIV -> b=NB-1 :: else -> if :: rseq==v -> rbit=0 :: else fi fi;
                 if :: b!=NIL -> bst[b]=LEASED; bown[b]=me :: else fi }
     :: else ->
        do
        :: atomic { ALIVE -> j=slot[h] };
           if
           :: j==NIL -> break
           :: j==ENDB -> atomic { ALIVE -> isend=(rseq==v && !rbit) }; break
           :: else ->
              atomic { LOCKED -> if :: bst[j]==COMMIT && bpos[j]==h -> bst[j]=LEASED; bown[j]=me; b=j :: else fi };
              h++;
              if :: b!=NIL -> break :: else fi
           fi
        od;
        j=0
     fi;
     atomic { v=0; vb=0 };
     if
     :: b!=NIL ->
        if
        :: atomic { ALIVE && buf[me]==0 -> nacked++; buf[me]=b+1; b=NIL };          /* ack: a plain store */
#ifndef BUG_NOWAKE
           atomic { ALIVE -> ok=ended };
           if :: ok -> wakeall() :: else fi;
#endif
           ok=0
        :: atomic { LOCKED && nacks<NACKS -> nacks++; bst[b]=REDELIV; bown[b]=0; b=NIL }; redeliver()
#if DELAYS>0
        :: atomic { LOCKED && delays<DELAYS && !now_due -> delays++; next_due=1;
                    bst[b]=DELAYED; bown[b]=0; b=NIL }; wakeall()             /* delay.pml has it in steps */
#endif
        fi
     :: else ->
        if
        :: isend ->
#ifndef BUG_NOFLAG
           atomic { LOCKED -> ended=1 };
#endif
           census();
           if :: ok -> atomic { ALIVE -> assert(nacked==nput); fin[me]=1 }; goto out :: else fi
        :: else
        fi;
        atomic { isend=0; ok=0 };
        /* sleep: note END, arm, barrier, look again */
#ifdef BUG_DRAIN         /* drains again, and does not look for the dead */
        atomic { ALIVE -> closed[me]=0 };
#endif
#ifndef BUG_NOFLAG
        atomic { ALIVE -> ok=(slot[h]==ENDB) };
        if :: ok -> atomic { LOCKED -> ended=1 } :: else fi;
#endif
        atomic { LOCKED -> w=1; CHANGED; other[me]=0 };
#ifndef BUG_NOBARRIER
        atomic { ALIVE -> if :: ended -> FLUSH(K); FLUSH(G) :: else fi };
#endif
        atomic { ALIVE -> ok=(rbit || (next_due && now_due)) };
        if
        :: ok
        :: else ->
           atomic { ALIVE -> j=slot[h] };
           if :: j==NIL -> ok=0 :: j==ENDB -> census() :: else -> ok=1 fi
        fi;
        j=0;
        if
        :: ok
        :: else ->
           atomic { ALIVE -> if :: !other[me] && !closed[me] && !(next_due && now_due) -> asleep[me]=1 :: else fi };
           !asleep[me]
        fi;
        atomic { ok=0; other[me]=1 }
     fi
  od;
out: skip }

/* store buffers empty when they like; time passes; the kernel wakes everybody when somebody dies */
proctype Hardware() {
  do
  :: atomic { buf[K]!=0 -> FLUSH(K) }
  :: atomic { buf[G]!=0 -> FLUSH(G) }
#if DELAYS>0
  :: atomic { next_due && !now_due -> now_due=1; asleep[K]=0; asleep[G]=0 }         /* they sleep no longer than that */
#endif
  od }
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++; asleep[K]=0; asleep[G]=0; closed[K]=1; closed[G]=1; if :: p==K -> FLUSH(K) :: else fi }
proctype Crash() { do KILL(E) KILL(K) :: break od }
init { atomic { byte q;
  for (q : 0 .. NPOS-1) { slot[q]=NIL }
  for (q : 0 .. PRE-1) { slot[q]=q; bst[q]=COMMIT; bpos[q]=q; pay[q]=9; nput++ } q=0;
  run Prod(P); run Ender(E); run Cons(K); run Cons(G); run Hardware(); run Crash() };
  timeout;                                        /* nothing moves any more */
  assert((!hasend && dead[E]) || (fin[G] && (fin[K] || dead[K]))) }
