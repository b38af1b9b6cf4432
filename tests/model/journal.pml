/* journal.pml -- several recoverers at once, one journal line, exact counts.
 *
 * Endpoint index X has two lives, A and A2.  Each makes a few operations (put, take, ack, nack), every one with the
 * journal line {low count, block, op, status} + saved position, the change, the counter.  A life may be killed between
 * any two of them.  R and S recover X holding a read lock on its byte: both at once, and D, which comes last, does not
 * wait for them: they may be stopped for ever, or killed, anywhere.  A new life needs the byte for writing.
 * C is another process that takes, acks, nacks and puts: it is what makes the blocks move on under the recoverers.
 *
 * Checked when D is done, and again whenever a late recoverer is: every counter of X equals what happened (ghosts);
 * every message put was taken once without the flag, and acked exactly once; nothing is left LEASED or REDELIV, no
 * block is lost.
 *
 * One `atomic` is one access of one word.  Sequential consistency.  The get is atomic here (rts.pml has it in steps).
 */
#ifndef NS
#define NS 1            /* slots; capacity is the same */
#endif
#ifndef NB
#define NB 2
#endif
#ifndef OPS1
#define OPS1 2          /* operations of A */
#endif
#ifndef OPS2
#define OPS2 1          /* operations of A2 */
#endif
#ifndef COPS
#define COPS 2          /* operations of C */
#endif
#ifndef PRE
#define PRE 0           /* messages queued before anybody moves */
#endif
#ifndef MAXC
#define MAXC 2          /* kills */
#endif
#ifndef HOME
#define HOME 1          /* what X puts comes back to X; 0: becomes common */
#endif
#ifndef KINDS
#define KINDS 15        /* what A may do: 1 put, 2 take, 4 ack, 8 nack */
#endif
/* persons; X, C and D are endpoint indices too */
#define A 1
#define A2 2
#define R 3
#define S 4
#define C 5
#define D 6
#define X 1
#define Y 7
#define NIL 9
/* states of a block */
#define FREE 0
#define OWNED 1
#define COMMIT 2
#define LEASED 3
#define REDELIV 4
/* line */
#define CLOSED 0
#define OPEN 1
#define DONE 2
#define UNDONE 3
#define PUT 0
#define TAKE 1
#define ACK 2
#define NACK 3

byte spos[NS], sblk[NS];
byte bst[NB], bown[NB], bpos[NB]; bit bred[NB];        /* the block word */
byte home[NB], pay[NB];
byte jlow, jblk, jop, jst;                             /* the line's state word: one word */
byte jpos;                                             /* the line's saved position: another */
byte cnt[4];                                           /* X's counters */
bit rbit;                                              /* redelivery word */
byte wl; bit rl[7]; bit ent;                           /* X's byte: writer, readers; its entry is in use */
bit dead[7], fin[7]; byte crashes;
/* ghosts */
byte did[4], npos=NS, nexttake=NS, nmsg; byte msgat[12]; byte acked[12]; bit taken[12]; bit done;

#define ALIVE !dead[me]
#define GONE(p) (fin[p] || dead[p])
#define NOREADER (!rl[R] && !rl[S] && !rl[D])
#define EXOWN (BOWN(0) || BOWN(1) || BOWN(NB-1))
#define BOWN(k) (bst[k]==OWNED && bown[k]==X)
#define DIRTY (wl==0 && (ent || EXOWN))
#define LENT ((bst[0]==OWNED && bown[0]==Y) || (bst[NB-1]==OWNED && bown[NB-1]==Y))
/* what an unpublished word's position becomes: it may yet be given to another message */
#if defined(BUG_KEEPPOS)
#define LASTUSE(p) (p)
#elif defined(BUG_LAPBACK)
#define LASTUSE(p) (p-NS)
#else
#define LASTUSE(p) (p-1)
#endif
#define CLR(k) bst[k]=FREE; bown[k]=0; bred[k]=0; home[k]=0; pay[k]=0  /* the position stays */

/* the line: the saved position first, the state word last */
#ifdef BUG_POSAFTER
#define LINE(o,b,p) atomic { ALIVE -> jlow=cnt[o]; jblk=b; jop=o; jst=OPEN }; atomic { ALIVE -> jpos=p }
#else
#define LINE(o,b,p) atomic { ALIVE -> jpos=p }; atomic { ALIVE -> jlow=cnt[o]; jblk=b; jop=o; jst=OPEN }
#endif
/* an operation that did not happen closes its line */
#ifdef BUG_LEFTOPEN
#define CLOSE skip
#else
#define CLOSE atomic { ALIVE -> jst=CLOSED }
#endif
#ifdef BUG_SKIPCOUNT
#define BUMP(o) if :: o==ACK -> skip :: else -> atomic { ALIVE -> cnt[o]=cnt[o]+1 } fi
#else
#define BUMP(o) atomic { ALIVE -> cnt[o]=cnt[o]+1 }
#endif

inline xput() {
  atomic { ALIVE -> pb=NIL;                                     /* an own block, or a common one, or none */
    if
#ifdef ANY
    :: bst[0]==FREE -> pb=0
    :: bst[NB-1]==FREE -> pb=NB-1
#endif
    :: bst[0]==OWNED && bown[0]==X -> pb=0
    :: else -> if :: bst[NB-1]==OWNED && bown[NB-1]==X -> pb=NB-1
    :: else -> if :: bst[0]==FREE -> pb=0
    :: else -> if :: bst[NB-1]==FREE -> pb=NB-1 :: else fi fi fi
    fi;
    if :: pb!=NIL -> bst[pb]=OWNED; bown[pb]=X; home[pb]=HOME :: else fi };
  if
  :: pb==NIL
  :: else ->
     lp=bpos[pb];
#ifdef LOAN             /* the block was lent by another lane of this process, Y */
#ifdef BUG_LOANLANE
     atomic { ALIVE -> bown[pb]=Y };
#else
     atomic { ALIVE -> bown[pb]=Y }; atomic { ALIVE -> bown[pb]=X };
#endif
#endif
     LINE(PUT,pb,lp);
     do
     :: atomic { ALIVE -> t=npos; sp=spos[t%NS]; sb=sblk[t%NS];
                 ok=(sb==NIL || bst[sb]!=COMMIT || bpos[sb]!=sp) };
        if
        :: !ok ->
#ifdef BUG_FULLPOS
             if :: bst[pb]==COMMIT -> lp=bpos[pb] :: else fi;
#endif
             atomic { ALIVE -> bst[pb]=OWNED; bown[pb]=X; bpos[pb]=lp; home[pb]=0 };   /* the word first: the line still says what was */
             CLOSE; break
        :: else ->
             atomic { ALIVE -> bst[pb]=COMMIT; bown[pb]=X; bpos[pb]=t; bred[pb]=0 };
             atomic { ALIVE ->
               if :: spos[t%NS]==sp && sblk[t%NS]==sb ->
                    spos[t%NS]=t; sblk[t%NS]=pb; ok=1; assert(t==npos);
                    nmsg++; pay[pb]=nmsg; msgat[t]=nmsg; npos++; did[PUT]++
                  :: else -> ok=0 fi };
             if :: ok -> BUMP(PUT); break :: else fi
        fi
     od
  fi;
  atomic { pb=NIL; lp=0; t=0; sp=0; sb=0; ok=0 } }

/* who: index for the word.  Journalled only for X. */
inline xtake() {
  if
  :: atomic { ALIVE && rbit ->                                   /* a redelivery: not journalled, not counted as taken */
       if :: bst[0]==REDELIV -> hb=0 :: bst[NB-1]==REDELIV -> hb=NB-1 :: else -> rbit=0 fi;
       if :: hb!=NIL -> bst[hb]=LEASED; bown[hb]=X; hp=bpos[hb]; assert(taken[pay[hb]] && !acked[pay[hb]]) :: else fi }
  :: atomic { ALIVE && !rbit -> t=nexttake; sb=sblk[t%NS]; ok=(spos[t%NS]==t && bst[sb]==COMMIT && bpos[sb]==t); sp=bown[sb] };
     if
     :: ok ->
        LINE(TAKE,sb,t);
        atomic { ALIVE ->
          if :: bst[sb]==COMMIT && bown[sb]==sp && bpos[sb]==t ->
               bst[sb]=LEASED; bown[sb]=X; hb=sb; hp=t; assert(t==nexttake && pay[sb]==msgat[t]); nexttake++;
               assert(!taken[pay[sb]]); taken[pay[sb]]=1; did[TAKE]++
             :: else fi };
        if :: hb!=NIL -> BUMP(TAKE) :: else -> CLOSE fi
     :: else
     fi
  fi;
  atomic { t=0; sb=0; sp=0; ok=0 } }
inline xack() {
  LINE(ACK,hb,hp);
#ifdef BUG_COUNTFIRST
  BUMP(ACK);
#endif
  atomic { ALIVE -> assert(bst[hb]==LEASED && bown[hb]==X && bpos[hb]==hp);
    acked[pay[hb]]++; assert(acked[pay[hb]]==1); did[ACK]++;
    if :: home[hb]!=0 -> bst[hb]=OWNED; bown[hb]=home[hb]; bred[hb]=0; home[hb]=0; pay[hb]=0
       :: else -> CLR(hb) fi };
#ifndef BUG_COUNTFIRST
  BUMP(ACK);
#endif
  atomic { hb=NIL; hp=0 } }
inline xnack() {
  LINE(NACK,hb,hp);
  atomic { ALIVE -> assert(bst[hb]==LEASED && bown[hb]==X && bpos[hb]==hp); bst[hb]=REDELIV; bown[hb]=0; bred[hb]=1; did[NACK]++ };
  atomic { ALIVE -> rbit=1 };
  BUMP(NACK);
  atomic { hb=NIL; hp=0 } }

inline decide() {
  atomic { ALIVE -> low=jlow; jb=jblk; op=jop; s=jst };
  if
  :: s==OPEN ->
     atomic { ALIVE -> ok=(cnt[op]==low) };
     if
     :: ok ->
        atomic { ALIVE -> lp=jpos };
        do
        :: atomic { ALIVE -> ws=bst[jb]; wo=bown[jb]; wp=bpos[jb]; wr=bred[jb] };
           if
           :: op==PUT && ws==COMMIT && wo==X ->
                atomic { ALIVE -> ok=(spos[wp%NS]==wp && sblk[wp%NS]==jb) };
#ifndef BUG_ONELOOK
                if :: !ok -> atomic { ALIVE -> if :: bst[jb]==ws && bown[jb]==wo && bpos[jb]==wp -> wr=0 :: else -> wr=1 fi };
                             if :: wr -> skip :: else -> break fi   /* it moved while we looked: look again */
                   :: else -> break fi
#else
                break
#endif
#ifdef BUG_BRIEF   /* OWNED(x) always means undone: wrong, an acked put came home */
           :: op==PUT && ws==OWNED && wo==X -> ok=0; break
           :: op==PUT && !(ws==COMMIT && wo==X) && !(ws==OWNED && wo==X) -> ok=(wp!=lp); break
#else
           :: op==PUT && !(ws==COMMIT && wo==X) -> ok=(wp!=lp); break
#endif
           :: op==TAKE -> ok=(ws==LEASED && wo==X && wp==lp && !wr); break
           :: op>=ACK -> ok=!(ws==LEASED && wo==X && wp==lp); break
           fi
        od;
#ifdef BUG_NOCAS   /* acts on its own opinion */
        atomic { ALIVE -> jst=(ok -> DONE : UNDONE); s=jst }
#else
        atomic { ALIVE -> if :: jst==OPEN && jlow==low && jop==op && jblk==jb -> jst=(ok -> DONE : UNDONE) :: else fi };
        atomic { ALIVE -> s=jst }
#endif
     :: else
     fi
  :: else
  fi;
  if
  :: s==DONE ->
#ifdef BUG_PLUS
     atomic { ALIVE -> t=cnt[op] }; if :: t==low -> atomic { ALIVE -> cnt[op]=cnt[op]+1 } :: else fi
#else
     atomic { ALIVE -> t=cnt[op] }; if :: t==low -> atomic { ALIVE -> cnt[op]=low+1 } :: else fi
#endif
  :: else
  fi;
  atomic { low=0; jb=0; op=0; s=0; lp=0; ws=0; wo=0; wp=0; wr=0; t=0; ok=0 } }

inline words(keep) {
  j=0;
  do
  :: j<NB ->
     atomic { ALIVE -> ws=bst[j]; wo=bown[j]; wp=bpos[j] };
     ok=1;
     if
     :: wo==X && ws==OWNED && !keep -> atomic { ALIVE -> if :: bst[j]==OWNED && bown[j]==X && bpos[j]==wp -> CLR(j) :: else -> ok=0 fi }
     :: wo==X && ws==COMMIT ->
          atomic { ALIVE -> ok=(spos[wp%NS]==wp && sblk[wp%NS]==j) };
          if :: ok -> skip
             :: else -> atomic { ALIVE -> if :: bst[j]==COMMIT && bown[j]==X && bpos[j]==wp -> CLR(j); bpos[j]=LASTUSE(wp); ok=1 :: else fi } fi
     :: wo==X && ws==LEASED -> atomic { ALIVE -> if :: bst[j]==LEASED && bown[j]==X && bpos[j]==wp -> bst[j]=REDELIV; bown[j]=0; bred[j]=1; seen=1 :: else -> ok=0 fi }
     :: ws==REDELIV -> seen=1
     :: else
     fi;
#ifdef BUG_NORELOOK
     j++
#else
     if :: ok -> j++ :: else fi                          /* it moved under us: look again */
#endif
  :: else -> break
  od;
  atomic { j=0; ws=0; wo=0; wp=0; ok=0 };
  if :: seen -> atomic { ALIVE -> rbit=1; seen=0 } :: else fi }
inline recover(keep) {
#ifdef BUG_WORDSFIRST
  words(keep); decide();
#else
  decide(); words(keep);
#endif
  atomic { ALIVE -> ent=keep } }

#define CHECK assert(cnt[0]==did[0] && cnt[1]==did[1] && cnt[2]==did[2] && cnt[3]==did[3])
#define LOCALS byte hb=NIL, hp, pb=NIL, lp, t, sp, sb, k, low, jb, op, s, ws, wo, wp, j; bit wr, ok, seen

proctype Life(byte me; byte n) {
  LOCALS;
  if
  :: atomic { ALIVE && wl==0 && (me==A || GONE(A)) &&
#ifdef BUG_REREGISTER
       true
#else
       NOREADER
#endif
       -> wl=me };
     if :: me==A2 -> recover(1) :: else -> atomic { ALIVE -> ent=1 } fi;
     do
     :: k<n ->
        if
        :: KINDS & 1 -> xput()
        :: (KINDS & 2) && hb==NIL -> xtake()
        :: (KINDS & 4) && hb!=NIL -> xack()
        :: (KINDS & 8) && hb!=NIL -> xnack()
        fi; k++
     :: atomic { ALIVE && k==n -> break }
     od;
     /* a proper end, holding nothing: what it held goes back */
     if :: hb!=NIL -> xnack() :: else fi
  :: atomic { ALIVE && me==A2 -> skip }                     /* need not come */
  fi;
  atomic { ALIVE -> fin[me]=1; if :: wl==me -> wl=0 :: else fi } }

proctype Rec(byte me) {
  byte t, low, jb, op, s, lp, ws, wo, wp, j; bit wr, ok, seen;
  atomic { ALIVE && DIRTY -> rl[me]=1 };                      /* or never */
  recover(0);
  atomic { ALIVE -> rl[me]=0; fin[me]=1; if :: done -> CHECK :: else fi } }

/* the world goes on: whole operations */
inline ctake(x) {
  atomic {
    if
    :: rbit -> if :: bst[0]==REDELIV -> hb=0 :: bst[NB-1]==REDELIV -> hb=NB-1 :: else -> rbit=0 fi;
               if :: hb!=NIL -> bst[hb]=LEASED; bown[hb]=x; assert(taken[pay[hb]] && !acked[pay[hb]]) :: else fi
    :: else ->
       t=nexttake; sb=sblk[t%NS];
       if :: spos[t%NS]==t && bst[sb]==COMMIT && bpos[sb]==t ->
            bst[sb]=LEASED; bown[sb]=x; hb=sb; assert(pay[sb]==msgat[t]); nexttake++; assert(!taken[pay[sb]]); taken[pay[sb]]=1
          :: else fi
    fi; t=0; sb=0 } }
inline cack() {
  atomic { acked[pay[hb]]++; assert(acked[pay[hb]]==1);
    if :: home[hb]!=0 -> bst[hb]=OWNED; bown[hb]=home[hb]; bred[hb]=0; home[hb]=0; pay[hb]=0 :: else -> CLR(hb) fi; hb=NIL } }
proctype Other() {
  byte hb=NIL, pb=NIL, t, sb, k;
  do
  :: k<COPS ->
     if
     :: hb==NIL -> ctake(C)
     :: hb!=NIL -> cack()
     :: atomic { hb!=NIL -> bst[hb]=REDELIV; bown[hb]=0; bred[hb]=1; rbit=1; hb=NIL }
#ifdef UNTAKE
     :: atomic { hb!=NIL -> bst[hb]=REDELIV; bown[hb]=0; rbit=1; hb=NIL }   /* as if never taken: no flag */
#endif
     :: atomic { pb==NIL -> if :: bst[0]==FREE -> pb=0 :: bst[NB-1]==FREE -> pb=NB-1 :: else -> skip fi;
                 if :: pb!=NIL -> bst[pb]=OWNED; bown[pb]=C :: else fi }
#ifdef OTHERDIES        /* another endpoint of C's killed with its word set, and recovered; X is not decided yet */
     :: atomic { pb!=NIL && COPS>0 -> CLR(pb); bpos[pb]=LASTUSE(npos); pb=NIL }
#endif
     :: atomic { pb!=NIL -> t=npos; sb=sblk[t%NS];
          if :: (sb==NIL || bst[sb]!=COMMIT || bpos[sb]!=t-NS) ->
               bst[pb]=COMMIT; bown[pb]=C; bpos[pb]=t; bred[pb]=0; spos[t%NS]=t; sblk[t%NS]=pb; nmsg++; pay[pb]=nmsg; msgat[t]=nmsg; npos++; pb=NIL
             :: else fi; t=0; sb=0 }
     fi; k++
  :: else -> break
  od;
  if :: hb!=NIL -> cack() :: else fi;
  atomic { if :: pb!=NIL -> CLR(pb); pb=NIL :: else fi; fin[C]=1 } }

/* what is left is recovered and drained; R and S may be stuck anywhere */
proctype Drain(byte me) {
  byte hb=NIL, t, sb, low, jb, op, s, lp, ws, wo, wp, j; bit wr, ok, seen;
  GONE(A) && GONE(A2) && fin[C] && !LENT;
  do
  :: atomic { DIRTY -> rl[D]=1 }; recover(0); atomic { rl[D]=0 }
  :: atomic { !DIRTY && (rbit || spos[nexttake%NS]==nexttake) -> skip }; ctake(D); if :: hb!=NIL -> cack() :: else fi
  :: atomic { !DIRTY && !rbit && spos[nexttake%NS]!=nexttake -> break }
  od;
  atomic {
    assert(nexttake==npos && nmsg==npos-NS);
    for (j : 1 .. nmsg) { assert(taken[j] && acked[j]==1) }
    for (j : 0 .. NB-1) { assert(bst[j]==FREE) }
    CHECK; done=1; fin[D]=1 } }

#ifdef LOAN             /* somebody who found Y dead, but X still alive */
proctype RecY() { byte j;
  atomic { dead[A] -> for (j : 0 .. NB-1) { if :: bst[j]==OWNED && bown[j]==Y -> CLR(j) :: else fi } } }
#endif
#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++; rl[p]=0; if :: wl==p -> wl=0 :: else fi }
proctype Crash() {
  do
  KILL(A) KILL(A2) KILL(R)
  :: break
  od }
init { atomic {
  byte q;
  for (q : 0 .. NS-1) { spos[q]=q; sblk[q]=NIL }
  for (q : 0 .. PRE-1) { spos[npos%NS]=npos; sblk[npos%NS]=q; bst[q]=COMMIT; bown[q]=C; bpos[q]=npos; nmsg++; pay[q]=nmsg; msgat[npos]=nmsg; npos++ }
  q=0;
  run Life(A,OPS1);
#if OPS2>0
  run Life(A2,OPS2);
#else
  fin[A2]=1;
#endif
  run Rec(R);
#ifdef NOS
  fin[S]=1;
#else
  run Rec(S);
#endif
#ifdef LOAN
  run RecY();
#endif
  run Other(); run Drain(D); run Crash() } }
