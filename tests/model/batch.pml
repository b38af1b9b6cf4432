/* batch.pml -- all-or-nothing batches on slots that are never cleaned.
 *
 * A batch is two element blocks and a header block.  The elements get COMMIT(P,t0), t0 the first unpublished position
 * found by walking after all three are owned; only the header's word follows the position t where the slot CAS is
 * tried, so t0 and t differ when others publish in between.  One slot CAS publishes.  A taker checks the header's
 * word, reads t0 and the entries, looks at the word again, leases by CAS COMMIT(P,t0) -> LEASED(me,h).  The header is
 * freed, by CAS of its word, by whoever finds all its elements taken: the last taker, a producer at t - capacity, a
 * sweep.  Blocks come home to P or go to the common ones, and are used again: as elements, as headers, as singles.
 *
 * P follows PROG, Q makes single puts; C takes in small steps, D in
 * large ones; P and C may be killed anywhere; R recovers and may be stuck or killed anywhere; D recovers what is left.
 *
 * Checked: order at the lease; each message leased once without flag, at its own position; both elements of a
 * batch or none; nothing left, no block lost.
 */
#ifndef NS
#define NS 2
#endif
#ifndef NB
#define NB 4
#endif
#ifndef PROG
#define PROG 1        /* what P does: base 4 digits, lowest first: 1 batch, 2 single */
#endif
#ifndef QPUTS
#define QPUTS 1
#endif
#ifndef CGETS
#define CGETS 1
#endif
#ifndef MAXC
#define MAXC 1
#endif
#ifndef HOMEP
#define HOMEP 1       /* P's blocks are its own: acks give them back to it; 0: they are common */
#endif
#define P 1
#define Q 2
#define C 3
#define R 5
#define D 6
#define NIL 9
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDELIV 4
#define COMMITH 5
#define MAXM 9
byte spos[NS], sblk[NS];
byte bst[NB], bown[NB], bpos[NB];                /* the block word */
byte home[NB], batch[NB], pay[NB];               /* meta, payload */
byte l0[NB], l1[NB], lt[NB];                     /* payload of a header: its elements, their t0 */
byte rbit; bit ent[4]; bit rl[4];                /* entries of P and C in use; read lock by R */
bit dead[7], fin[7]; byte crashes;
/* ghosts */
byte npos=NS, ncom, nexttake, order[MAXM], posof[MAXM], mate[MAXM]; bit committed[MAXM], taken[MAXM]; byte acked[MAXM];
#define ALIVE !dead[me]
#define GONE(p) (fin[p] || dead[p])
#define CLR(k) bst[k]=FREE; bown[k]=0; home[k]=0; pay[k]=0
#define OUT(k) bst[k]=(home[k] -> OWNED : FREE); bown[k]=home[k]; pay[k]=0; home[k]=0
#define MINE(k) (bst[k]==OWNED && bown[k]==me && k!=b && k!=e0 && k!=e1)
/* own blocks first, then the common ones; ANY: in any order */
inline alloc(x) {
  atomic { ALIVE ->
    if
#ifdef ANY
    :: MINE(0) -> x=0 :: MINE(1) -> x=1 :: MINE(2) -> x=2 :: MINE(NB-1) -> x=NB-1
    :: bst[0]==FREE -> x=0 :: bst[1]==FREE -> x=1 :: bst[2]==FREE -> x=2 :: bst[NB-1]==FREE -> x=NB-1
    :: else
#else
    :: MINE(0) -> x=0
    :: else -> if :: MINE(1) -> x=1
    :: else -> if :: MINE(2) -> x=2
    :: else -> if :: MINE(NB-1) -> x=NB-1
    :: else -> if :: bst[0]==FREE -> x=0
    :: else -> if :: bst[1]==FREE -> x=1
    :: else -> if :: bst[2]==FREE -> x=2
    :: else -> if :: bst[NB-1]==FREE -> x=NB-1
    :: else fi fi fi fi fi fi fi
#endif
    fi;
    if :: x!=NIL -> bst[x]=OWNED; bown[x]=me :: else fi } }
/* the entry at t - capacity: is it out of the way?  A drained header is freed on the spot.  sp, sb as loaded from the slot. */
inline istaken() {
  if
  :: sb==NIL -> ok=1
  :: else ->
     atomic { ALIVE -> ws=bst[sb]; wo=bown[sb]; wp=bpos[sb] };
     if
     :: ws==COMMITH && wp==sp -> freeheader(sb)
     :: else -> ok=!(ws==COMMIT && wp==sp)
     fi
  fi }
/* header x has word (COMMITH,wo,wp): free it if it is drained.  ok: it is out of the way. */
inline freeheader(x) {
  atomic { ALIVE -> f0=l0[x]; f1=l1[x]; ft=lt[x] };
  atomic { ALIVE -> ok=!(bst[f0]==COMMIT && bpos[f0]==ft) };
#ifdef BUG_FREEONE      /* one element taken is enough */
  if :: ok :: !ok -> atomic { ALIVE -> ok=!(bst[f1]==COMMIT && bpos[f1]==ft) } fi;
#else
  if :: ok -> atomic { ALIVE -> ok=!(bst[f1]==COMMIT && bpos[f1]==ft) } :: else fi;
#endif
  if
  :: ok -> atomic { ALIVE -> if :: bst[x]==COMMITH && bown[x]==wo && bpos[x]==wp -> OUT(x) :: else fi }
  :: else
  fi;
  atomic { f0=0; f1=0; ft=0 } }
/* publish block b, a header when hdr */
inline publish(hdr) {
  do
  :: atomic { ALIVE -> sp=spos[gt%NS]; sb=sblk[gt%NS] };
     if
     :: sp>=gt -> gt++
     :: else ->
        istaken();
        if
        :: !ok ->
           if
           :: lp=0;                                                       /* FULL: all back, with the old positions */
              if :: hdr -> atomic { ALIVE -> bst[e0]=OWNED; bown[e0]=me; bpos[e0]=p0; pay[e0]=0 };
                           atomic { ALIVE -> bst[e1]=OWNED; bown[e1]=me; bpos[e1]=p1; pay[e1]=0 } :: else fi;
              atomic { ALIVE -> bst[b]=OWNED; bown[b]=me; bpos[b]=pb; pay[b]=0 }; break
           :: skip                                                        /* or wait and look again */
           fi
        :: else ->
           atomic { ALIVE -> bst[b]=(hdr -> COMMITH : COMMIT); bown[b]=me; bpos[b]=gt };
           atomic { ALIVE ->
             if :: spos[gt%NS]==sp && sblk[gt%NS]==sb ->
                  spos[gt%NS]=gt; sblk[gt%NS]=b; assert(gt==npos); npos++; ok=1;
                  if :: hdr -> order[ncom]=pay[e0]; order[ncom+1]=pay[e1]; posof[pay[e0]]=gt; posof[pay[e1]]=gt; committed[pay[e0]]=1; committed[pay[e1]]=1; ncom=ncom+2
                     :: else -> order[ncom]=pay[b]; posof[pay[b]]=gt; committed[pay[b]]=1; ncom++ fi
                :: else -> ok=0 fi };
           if :: ok -> gt++; break :: else fi
        fi
     fi
  od;
  atomic { sp=0; sb=0; ok=0; ws=0; wo=0; wp=0; b=NIL; e0=NIL; e1=NIL; p0=0; p1=0; pb=0; lp=0 } }
inline single(h) {
  alloc(b);
  if
  :: b!=NIL -> pb=bpos[b]; atomic { ALIVE -> home[b]=h; pay[b]=m;
#ifndef STALEMETA        /* a single put need not touch meta.batch: the list and t0 decide */
    batch[b]=NIL
#endif
    }; m++; publish(0)
  :: else
  fi }
inline many() {
#ifdef BUG_T0GUESS       /* t0 from the guess as it was before the blocks were owned */
  atomic { ALIVE -> t0=npos };
#endif
  alloc(e0); alloc(e1); alloc(b);
  if
  :: e0==NIL || e1==NIL || b==NIL ->                                       /* not enough: all back */
     if :: e0!=NIL -> atomic { ALIVE -> CLR(e0) } :: else fi; if :: e1!=NIL -> atomic { ALIVE -> CLR(e1) } :: else fi;
     if :: b!=NIL -> atomic { ALIVE -> CLR(b) } :: else fi; atomic { e0=NIL; e1=NIL; b=NIL }
  :: else ->
     atomic { p0=bpos[e0]; p1=bpos[e1]; pb=bpos[b] };
#ifndef BUG_T0GUESS
     do :: atomic { ALIVE -> ok=(spos[gt%NS]>=gt) }; if :: ok -> gt++ :: else -> break fi od;
     t0=gt;
#endif
     atomic { ALIVE -> home[b]=HOMEP*me; home[e0]=HOMEP*me; home[e1]=HOMEP*me; batch[b]=NIL; batch[e0]=b; batch[e1]=b;
              pay[e0]=m; pay[e1]=m+1; mate[m]=m+1; mate[m+1]=m }; m=m+2;
     atomic { ALIVE -> l0[b]=e0; l1[b]=e1 };
     atomic { ALIVE -> lt[b]=t0 };
     atomic { ALIVE -> bst[e0]=COMMIT; bown[e0]=me; bpos[e0]=t0 };
     atomic { ALIVE -> bst[e1]=COMMIT; bown[e1]=me; bpos[e1]=t0 };
     publish(1)
  fi; atomic { t0=0; ok=0 } }

#define LEASE(x,h) bst[x]=LEASED; bown[x]=me; bpos[x]=h; hb=x; assert(nexttake<ncom && order[nexttake]==pay[x] && posof[pay[x]]==h); \
  nexttake++; assert(!taken[pay[x]]); taken[pay[x]]=1
inline get() {
  if
  :: atomic { ALIVE && rbit ->
       for (f0 : 0 .. NB-1) { if :: hb==NIL && bst[f0]==REDELIV -> hb=f0 :: else fi } f0=0;
       if :: hb!=NIL -> bst[hb]=LEASED; bown[hb]=me; assert(taken[pay[hb]] && !acked[pay[hb]]) :: else -> rbit=0 fi }
  :: atomic { ALIVE && !rbit -> skip };
     do
     :: hb==NIL ->
        atomic { ALIVE -> sp=spos[gh%NS]; sb=sblk[gh%NS] };
        if
        :: sp<gh -> break                                                  /* EMPTY */
        :: sp>gh -> gh++
        :: else ->
           atomic { ALIVE -> ws=bst[sb]; wo=bown[sb]; wp=bpos[sb] };
           if
           :: ws==COMMIT && wp==gh -> atomic { ALIVE -> if :: bst[sb]==COMMIT && bown[sb]==wo && bpos[sb]==gh -> LEASE(sb,gh) :: else fi }
           :: ws==COMMITH && wp==gh ->
              atomic { ALIVE -> f0=l0[sb]; f1=l1[sb] };
              atomic { ALIVE -> ft=lt[sb] };
#ifndef BUG_NOLOOK       /* the header's word again */
              atomic { ALIVE -> ok=(bst[sb]==COMMITH && bown[sb]==wo && bpos[sb]==wp) };
#else
              ok=1;
#endif
              if
              :: ok ->
                 if
                 :: atomic { ALIVE && bst[f0]==COMMIT && bown[f0]==wo && bpos[f0]==ft -> LEASE(f0,gh) }
                 :: atomic { ALIVE && !(bst[f0]==COMMIT && bown[f0]==wo && bpos[f0]==ft) ->
                      if :: bst[f1]==COMMIT && bown[f1]==wo && bpos[f1]==ft -> LEASE(f1,gh) :: else -> ok=0 fi }
                 fi;
                 if :: hb!=NIL -> freeheader(sb) :: else -> gh++ fi
              :: else                                                      /* it was freed: the loop finds out */
              fi
           :: else -> gh++
           fi
        fi
     :: else -> break
     od
  fi;
  atomic { sp=0; sb=0; ws=0; wo=0; wp=0; f0=0; f1=0; ft=0; ok=0 } }
inline ack() {
  atomic { ALIVE -> assert(bst[hb]==LEASED && bown[hb]==me && bpos[hb]==posof[pay[hb]]); acked[pay[hb]]++; assert(acked[pay[hb]]==1); OUT(hb); hb=NIL } }

/* the coarse taker: whole operations */
inline wget() {
  atomic {
    if
    :: rbit ->
       for (f0 : 0 .. NB-1) { if :: hb==NIL && bst[f0]==REDELIV -> hb=f0 :: else fi }
       if :: hb!=NIL -> bst[hb]=LEASED; bown[hb]=me :: else -> rbit=0 fi
    :: else ->
       do
       :: sp=spos[gh%NS]; sb=sblk[gh%NS];
          if
          :: sp<gh -> break
          :: sp==gh && bst[sb]==COMMIT && bpos[sb]==gh -> LEASE(sb,gh); break
          :: sp==gh && bst[sb]==COMMITH && bpos[sb]==gh && bst[l0[sb]]==COMMIT && bpos[l0[sb]]==lt[sb] -> f0=l0[sb]; LEASE(f0,gh); break
          :: sp==gh && bst[sb]==COMMITH && bpos[sb]==gh && !(bst[l0[sb]]==COMMIT && bpos[l0[sb]]==lt[sb]) && bst[l1[sb]]==COMMIT && bpos[l1[sb]]==lt[sb] -> f0=l1[sb]; LEASE(f0,gh); break
          :: else -> gh++
          fi
       od
    fi; sp=0; sb=0; f0=0 };
  if :: hb!=NIL -> ack() :: else fi;
  atomic {
    for (f0 : 0 .. NB-1) { if :: bst[f0]==COMMITH && spos[bpos[f0]%NS]==bpos[f0] && sblk[bpos[f0]%NS]==f0 && !(bst[l0[f0]]==COMMIT && bpos[l0[f0]]==lt[f0]) && !(bst[l1[f0]]==COMMIT && bpos[l1[f0]]==lt[f0]) -> OUT(f0) :: else fi }
    f0=0 } }

/* recover x, holding a read lock on its byte */
inline recover(x) {
  j=0;
  do
  :: j<NB ->
     atomic { ALIVE -> ws=bst[j]; wo=bown[j]; wp=bpos[j] };
     ok=1;
     if
     :: wo==x && ws==OWNED -> atomic { ALIVE -> if :: bst[j]==OWNED && bown[j]==x && bpos[j]==wp -> CLR(j) :: else fi }
     :: wo==x && (ws==COMMIT || ws==COMMITH) ->
          atomic { ALIVE -> ok=(spos[wp%NS]==wp && sblk[wp%NS]==j) };
#ifndef BUG_NOHEADER
          if
          :: !ok && ws==COMMIT ->
             atomic { ALIVE -> hd=batch[j] };
             if
             :: hd==NIL
             :: else ->
                atomic { ALIVE -> hw=bst[hd]; hp=bpos[hd] };
                if
                :: hw==COMMITH ->
                   atomic { ALIVE -> ok=(spos[hp%NS]==hp && sblk[hp%NS]==hd) };
#ifndef BUG_NOLIST
                   if :: ok -> atomic { ALIVE -> ok=(lt[hd]==wp && (l0[hd]==j || l1[hd]==j)) } :: else fi
#endif
                :: else
                fi
             fi
          :: else
          fi;
#endif
          if
          :: ok
          :: else -> atomic { ALIVE -> if :: bst[j]==ws && bown[j]==x && bpos[j]==wp -> assert(ws==COMMITH || !committed[pay[j]] || taken[pay[j]]); CLR(j) :: else fi }
          fi;
          ok=1
     :: wo==x && ws==LEASED -> atomic { ALIVE -> if :: bst[j]==LEASED && bown[j]==x && bpos[j]==wp -> bst[j]=REDELIV; bown[j]=0; seen=1 :: else -> ok=0 fi }
     :: ws==REDELIV -> seen=1
     :: else
     fi;
     if :: ok -> j++ :: else fi
  :: else -> break
  od;
  if :: seen -> atomic { ALIVE -> rbit=1 } :: else fi;
  atomic { ALIVE -> ent[x]=0; j=0; ws=0; wo=0; wp=0; hd=0; hw=0; hp=0; ok=0; seen=0 } }
#define PLOC byte b=NIL, e0=NIL, e1=NIL, gt=NS, t0, sp, sb, ws, wo, wp, f0, f1, ft, p0, p1, pb, lp, k, m=1; bit ok
#define GLOC byte hb=NIL, gh=NS, sp, sb, ws, wo, wp, f0, f1, ft, k; bit ok
proctype Prod(byte me) { PLOC;
  k=PROG;
  do
  :: k%4==1 -> k=k/4; many()
  :: k%4==2 -> k=k/4; single(HOMEP*me)
  :: k==0 -> break
  od;
  fin[me]=1 }
/* Q: single puts in two steps, always common blocks */
proctype Other(byte me) { byte b=NIL, e0=NIL, e1=NIL, sb, k;
  do
  :: k<QPUTS -> k++; alloc(b);
     if
     :: b!=NIL ->
        atomic { sb=sblk[npos%NS];
          if :: sb==NIL || !((bst[sb]==COMMIT || bst[sb]==COMMITH) && bpos[sb]==npos-NS) ->
               bst[b]=COMMIT; bown[b]=Q; bpos[b]=npos; home[b]=0; batch[b]=NIL; pay[b]=MAXM-k; spos[npos%NS]=npos; sblk[npos%NS]=b;
               order[ncom]=MAXM-k; posof[MAXM-k]=npos; committed[MAXM-k]=1; ncom++; npos++
             :: else -> CLR(b) fi; b=NIL; sb=0 }
     :: else
     fi
  :: else -> break
  od;
  fin[me]=1 }
proctype Cons(byte me) { GLOC;
  do :: k<CGETS -> get(); if :: hb!=NIL -> ack() :: else fi; k++ :: else -> break od;
  fin[me]=1 }
#define DIRTY(x) (GONE(x) && (ent[x] || EX(0,x) || EX(1,x) || EX(2,x) || EX(NB-1,x)))
#define EX(k,x) (bst[k]==OWNED && bown[k]==x)
proctype Rec(byte me) { byte ws, wo, wp, j, hd, hw, hp; bit ok, seen;
  if
  :: atomic { dead[P] -> skip }; recover(P)
  :: atomic { dead[C] -> skip }; recover(C)
  :: skip
  fi;
  fin[me]=1 }
/* D takes from the beginning, in large steps; when all are gone it recovers what R left */
#define QUIET (GONE(P) && fin[Q] && GONE(C))
proctype Drain(byte me) { byte hb=NIL, gh=NS, sp, sb, ws, wo, wp, f0, j, hd, hw, hp; bit ok, seen;
  do
  :: !QUIET -> wget()
  :: QUIET -> break
  od;
  do
  :: DIRTY(P) -> recover(P)
  :: DIRTY(C) -> recover(C)
  :: DIRTY(Q) -> recover(Q)
  :: else -> if :: nexttake<ncom || rbit -> wget() :: else -> break fi
  od;
  wget();
  atomic {
    for (j : 1 .. MAXM-1) { assert(committed[j]==acked[j] && committed[j]==taken[j]); assert(mate[j]==0 || committed[j]==committed[mate[j]]) }
    for (j : 0 .. NB-1) { assert(bst[j]==FREE || (bst[j]==OWNED && !ent[bown[j]])) }
    fin[D]=1 } }
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++ }
proctype Crash() {
  do
  KILL(P) KILL(C)
#ifdef KILLR
  KILL(R)
#endif
  :: break
  od }
init { atomic { byte q;
  for (q : 0 .. NS-1) { spos[q]=q; sblk[q]=NIL } q=0;
  for (q : 0 .. NB-1) { batch[q]=NIL } q=0;
  ent[P]=1; ent[Q]=1; ent[C]=1;
  run Prod(P); run Other(Q);
#if CGETS>0
  run Cons(C);
#else
  fin[C]=1;
#endif
#ifdef NOR
  fin[R]=1;
#else
  run Rec(R);
#endif
  run Drain(D);
#if MAXC>0
  run Crash()
#endif
} }
