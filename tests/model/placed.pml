/* placed.pml -- an ordered pool: jobs leased below a limit, results placed at their job's position, taken in order.
 *
 * NJ jobs stand in the jobs queue.  Workers A (mortal) and B lease (a redelivered one first, else the next below limit), place the
 * result by a slot CAS from exactly one lap before, then ack the job: too late is as good as placed.  Getters G and H, one at a
 * time (a byte lock; who gets it recovers the dead of done first), take at the head of done, hand out, ack, raise limit to head + W.  G may be killed anywhere; H then begins at
 * done's head with what was redelivered.  A getter whose slot is empty may take a census of the job, and places ELOST
 * if nothing of it is left.  T takes THEFTS jobs out of the queue without placing anything.
 *
 * Checked: whoever holds a job below the limit finds its place free (never FULL); results come out in order, each acked
 * once; ELOST only for a stolen job; when nothing moves any more all is out (no deadlock by the window, no hole).
 * Recovery is one step here (journal.pml).
 */
#ifndef NJ
#define NJ 3
#endif
#ifndef N
#define N 2             /* slots of done */
#endif
#ifndef W
#define W 2             /* window */
#endif
#ifndef DB
#define DB 4            /* blocks of done */
#endif
#ifndef MAXC
#define MAXC 1
#endif
#ifndef THEFTS
#define THEFTS 0
#endif
#define A 1
#define B 2
#define G 3
#define H 4
#define T 5
#define NIL 9
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDELIV 4
#define FIRST N
#define AFTER (N+NJ)
byte jst[NJ], jown[NJ], jhead=FIRST, limit=FIRST; bit jbit;
byte dpos[N], dblk[N]; bit dbit;
byte bst[DB], bown[DB], bpos[DB];
byte claim;
bit dead[6], fin[6], lost[6];                     /* lost: dead, and not recovered yet */
byte crashes, thefts;
/* ghosts */
byte nextout=FIRST, acked[AFTER], shown; bit stolen[AFTER];
#define ALIVE !dead[me]
#define J(t) ((t)-FIRST)
/* one block of done, or wait for one */
inline own() {
  atomic { ALIVE && (bst[0]==FREE || bst[1]==FREE || bst[DB-2]==FREE || bst[DB-1]==FREE) ->
    if :: bst[0]==FREE -> b=0 :: else -> if :: bst[1]==FREE -> b=1 :: else -> if :: bst[DB-2]==FREE -> b=DB-2 :: else -> b=DB-1 fi fi fi;
    bst[b]=OWNED; bown[b]=me } }
inline place(t, isloss) {
  own();
  atomic { ALIVE -> sp=dpos[t%N]; sb=dblk[t%N] };
  if
  :: sp>=t -> atomic { ALIVE -> bst[b]=FREE; bown[b]=0; b=NIL }                    /* ELATE */
  :: else ->
     assert(sp==t-N);
     atomic { ALIVE -> assert(sb==NIL || !(bst[sb]==COMMIT && bpos[sb]==sp)) };     /* the limit keeps it free */
     atomic { ALIVE -> bst[b]=COMMIT; bpos[b]=t };
     atomic { ALIVE -> if :: dpos[t%N]==sp && dblk[t%N]==sb -> dpos[t%N]=t; dblk[t%N]=b; b=NIL; if :: isloss -> assert(stolen[t]) :: else fi
                          :: else fi };
     if :: b!=NIL -> atomic { ALIVE -> bst[b]=FREE; bown[b]=0; b=NIL } :: else fi                 /* somebody was faster */
  fi;
  atomic { sp=0; sb=0 } }
inline lease() {                                                                    /* t: a job, or NIL */
  atomic { ALIVE -> t=NIL;
    if
    :: jbit -> for (k : 0 .. NJ-1) { if :: t==NIL && jst[k]==REDELIV -> t=k+FIRST :: else fi } k=0;
               if :: t!=NIL -> jst[J(t)]=LEASED; jown[J(t)]=me :: else -> jbit=0 fi
    :: !jbit && jhead<AFTER && jhead<limit -> t=jhead; jhead++; jst[J(t)]=LEASED; jown[J(t)]=me
    :: !jbit && !(jhead<AFTER && jhead<limit)
    fi } }
#define RECJOBS(x) for (k : 0 .. NJ-1) { if :: jst[k]==LEASED && jown[k]==x -> jst[k]=REDELIV; jown[k]=0; jbit=1 :: else fi } k=0
#define RECDONE(x) for (k : 0 .. DB-1) { if :: bown[k]==x && bst[k]==OWNED -> bst[k]=FREE; bown[k]=0 \
  :: bown[k]==x && bst[k]==COMMIT && !(dpos[bpos[k]%N]==bpos[k] && dblk[bpos[k]%N]==k) -> bst[k]=FREE; bown[k]=0 \
  :: bown[k]==x && bst[k]==LEASED -> bst[k]=REDELIV; bown[k]=0; dbit=1 :: else fi } k=0
proctype Worker(byte me) { byte t=NIL, b=NIL, sp, sb, k;
  do
  :: nextout<AFTER || jbit || (jhead<AFTER && jhead<limit) || lost[A] || lost[G] ->
     if
     :: me==B && (lost[A] || lost[G]) -> atomic { if :: lost[A] -> RECJOBS(A); RECDONE(A); lost[A]=0 :: else fi;
                               if :: lost[G] -> RECJOBS(G); RECDONE(G); lost[G]=0 :: else fi }
     :: else ->
        (ALIVE && (jbit || (jhead<AFTER && jhead<limit) || (me==B && (lost[A] || lost[G]))));
        lease();
        if
        :: t!=NIL ->
#ifdef BUG_ACKFIRST
           atomic { ALIVE -> jst[J(t)]=FREE; jown[J(t)]=0 };
           place(t, 0)
#else
           place(t, 0);
           atomic { ALIVE -> assert(jst[J(t)]==LEASED && jown[J(t)]==me); jst[J(t)]=FREE; jown[J(t)]=0 }
#endif
        :: else
        fi; t=NIL
     fi
  :: me==A -> break
  od;
  fin[me]=1 }
proctype Thief(byte me) { byte t=NIL, k;
  do
  :: thefts<THEFTS -> (jbit || (jhead<AFTER && jhead<limit)); lease();
     if :: t!=NIL -> atomic { jst[J(t)]=FREE; jown[J(t)]=0; stolen[t]=1; thefts++ } :: else fi; t=NIL
  :: break
  od;
  fin[me]=1 }
#ifdef BUG_NOLEASED
#define LEFT(s) (s==REDELIV || s==COMMIT)
#elif defined(BUG_NOREDELIV)
#define LEFT(s) (s==LEASED || s==COMMIT)
#else
#define LEFT(s) (s==REDELIV || s==LEASED || s==COMMIT)
#endif
#ifdef BUG_WINDOW
#define RAISE(x) atomic { ALIVE -> if :: limit<x+W+1 -> limit=x+W+1 :: else fi }
#else
#define RAISE(x) atomic { ALIVE -> if :: limit<x+W -> limit=x+W :: else fi }
#endif
proctype Getter(byte me) { byte t=NIL, n, b=NIL, r=NIL, sp, sb, k; bit ok;
#ifdef BUG_NOCLAIM
  atomic { ALIVE && !fin[me] -> n=nextout };
#else
  atomic { ALIVE && claim==0 && (me==G || fin[G] || dead[G]) -> claim=me };
#ifndef BUG_NOSWEEP      /* what the dead getter had comes before all that is fresh */
  if :: lost[G] && me==H -> atomic { ALIVE -> RECDONE(G) } :: else fi;
#endif
  atomic { ALIVE -> n=nextout };                                                    /* the head of done, by walking */
#endif
  do
  :: atomic { ALIVE && acked[AFTER-1]!=0 && nextout==AFTER && !dbit -> break }
  :: atomic { ALIVE && !(acked[AFTER-1]!=0 && nextout==AFTER && !dbit) -> skip };
     RAISE(n);
     if
     :: atomic { ALIVE && dbit -> for (k : 0 .. DB-1) { if :: bst[k]==REDELIV && (r==NIL || bpos[k]<bpos[r]) -> r=k :: else fi } k=0;
                 if :: r!=NIL -> bst[r]=LEASED; bown[r]=me :: else -> dbit=0 fi }
     :: atomic { ALIVE && !dbit && n<AFTER && dpos[n%N]==n -> r=dblk[n%N];
                 if :: bst[r]==COMMIT && bpos[r]==n -> bst[r]=LEASED; bown[r]=me; assert(n==nextout); nextout++
                    :: else -> r=NIL fi; n++ }
     :: atomic { ALIVE && !dbit && n<AFTER && dpos[n%N]!=n -> skip };                   /* empty: census, when it likes */
        atomic { ALIVE -> ok=(n<jhead && !LEFT(jst[J(n)])) };
        if :: ok -> place(n, 1) :: else fi; ok=0
     :: atomic { ALIVE && !dbit && n==AFTER && acked[AFTER-1]==0 -> dbit }              /* what the dead getter had will come */
     fi;
     if
     :: r!=NIL ->
        atomic { ALIVE -> assert(bpos[r]>=shown); shown=bpos[r] };                      /* handed out, perhaps again */
        atomic { ALIVE -> acked[bpos[r]]++; assert(acked[bpos[r]]==1 && bst[r]==LEASED && bown[r]==me); bst[r]=FREE; bown[r]=0; r=NIL };
        RAISE(n)
     :: else
     fi
  od;
  atomic { ALIVE -> fin[me]=1; if :: claim==me -> claim=0 :: else fi } }
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; lost[p]=1; crashes++; if :: claim==p -> claim=0 :: else fi }
proctype Crash() { do KILL(A) KILL(G) :: break od }
init { byte q;
  atomic {
    for (q : 0 .. N-1) { dpos[q]=q; dblk[q]=NIL } q=0;
    for (q : 0 .. NJ-1) { jst[q]=COMMIT } q=0;
    run Worker(A); run Worker(B); run Getter(G); run Getter(H);
    if :: THEFTS>0 -> run Thief(T) :: else fi;
    run Crash() };
  timeout;
  for (q : FIRST .. AFTER-1) { assert(acked[q]==1) } }
