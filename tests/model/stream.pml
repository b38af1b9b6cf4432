/* stream.pml -- did the put that a killed bridge was at take effect?  Intent, note, journal line, verdict, fact, read-back.
 *
 * Bridges 1, 2, 3 serve a queue one after another (a lock), each after reading back what the one before left: the serial
 * of its intent, in the streams' segment, is looked for among the notes in the queue's entries, whose owners have been
 * recovered.  A sender asks for the numbers 1 and 2 until each was answered.  F and G are strangers: each registers at
 * entry 0 when it is free, puts something of its own, and closes or is killed.  R and Q are recoverers, killed or stuck anywhere.
 *
 * Checked: each number is in the queue exactly once when it was answered; no note is still open when it is read back.
 * One `atomic` is one access of one word.  That a line is decided rightly is journal.pml's: here it is a ghost.
 */
#ifndef MAXC
#define MAXC 2
#endif
#ifndef N
#define N 2             /* numbers */
#endif
#define NONE 0
#define OPEN 1
#define DONE 2
#define UNDONE 3
#define CLOSED 0
#define F 4
#define G 5
#define R 6
#define Q 7
/* entries */
byte cnt[2], low[2], line[2]; bit effect[2]; bit used[2];       /* effect: of what the line announces */
byte nserial[2], nbefore[2], nstatus[2];
byte writer[2]; bit reader[8];                                  /* readers: of entry 0 (bit of each person), entry 1 by `reader1` */
bit reader1[8];
/* streams' segment */
byte iserial, inumber, last; bit fact[N+1];
/* ghosts */
byte put[N+1]; bit answered[N+1]; bit dead[8], fin[8]; byte crashes, lock; bit refused;

#define ALIVE !dead[me]
#define NOREADERS(x) ((x==0 && !reader[1] && !reader[2] && !reader[3] && !reader[F] && !reader[G] && !reader[R] && !reader[Q]) || \
                      (x==1 && !reader1[1] && !reader1[2] && !reader1[3] && !reader1[R] && !reader1[Q]))
#define READ(x,v) if :: x==0 -> reader[me]=v :: else -> reader1[me]=v fi

inline judge(x) {
  atomic { ALIVE -> s=nstatus[x] };
  if
  :: s==OPEN ->
     atomic { ALIVE -> v=(cnt[x]!=nbefore[x] -> DONE : UNDONE) };
#ifdef BUG_NOUNDONE
     if :: v==DONE -> atomic { ALIVE -> nstatus[x]=v } :: else fi
#else
     atomic { ALIVE -> nstatus[x]=v }
#endif
  :: else
  fi; atomic { s=0; v=0 } }

inline decide(x) {
  atomic { ALIVE -> s=line[x]; l=low[x] };
  if
  :: s==OPEN ->
     atomic { ALIVE -> v=(cnt[x]==l) };
     if
     :: v -> atomic { ALIVE -> v=effect[x] };
             atomic { ALIVE -> if :: line[x]==OPEN && low[x]==l -> line[x]=(v -> DONE : UNDONE) :: else fi };
             atomic { ALIVE -> s=line[x] }
     :: else
     fi
  :: else
  fi;
  if
  :: s==DONE -> atomic { ALIVE -> v=(cnt[x]==l) }; if :: v -> atomic { ALIVE -> cnt[x]=l+1 } :: else fi
  :: else
  fi; atomic { s=0; v=0; l=0 } }

/* under the read lock of x, or by its owner who closes */
inline recover(x) {
#ifdef BUG_JUDGEFIRST
  judge(x); decide(x);
#else
  decide(x);
#ifndef BUG_READBACKJUDGES
  judge(x);
#endif
#endif
  atomic { ALIVE -> used[x]=0 } }

/* got: its byte is ours, or it was not to be had */
inline enter(x) {
  got=0;
  if
  :: atomic { ALIVE && writer[x]==0 ->
       if :: used[x] -> READ(x,1); v=1 :: else -> v=0 fi };
     if :: v -> recover(x) :: else fi;
     atomic { ALIVE -> READ(x,0); v=0;
       if :: writer[x]==0 && !used[x] && NOREADERS(x) -> writer[x]=me; got=1 :: else fi };
     if :: got -> atomic { ALIVE -> used[x]=1 } :: else fi
  :: atomic { ALIVE && writer[x]!=0 -> skip }
  fi }

#define BUMP(x) atomic { ALIVE -> cnt[x]=low[x]+1; effect[x]=0 }
#define LINE(x) atomic { ALIVE -> low[x]=cnt[x]; line[x]=OPEN; effect[x]=0 }

/* one try of number n at entry x; ok: it is in */
inline try(x,n) {
  atomic { ALIVE -> iserial=0 };
  atomic { ALIVE -> inumber=n };
#ifdef BUG_SERIAL       /* begins anew in each life */
  atomic { ALIVE -> mine++; iserial=mine };
#else
  atomic { ALIVE -> last++; mine=last };
  atomic { ALIVE -> iserial=mine };
#endif
#ifdef BUG_FACTFIRST
  atomic { ALIVE -> fact[n]=1 };
#endif
#ifndef BUG_STALENOTE
  atomic { ALIVE -> nstatus[x]=NONE };
#endif
  atomic { ALIVE -> nserial[x]=mine };
  atomic { ALIVE -> nbefore[x]=cnt[x] };
#ifndef BUG_NONOTE
  atomic { ALIVE -> nstatus[x]=OPEN };
#endif
  LINE(x);
  if
  :: atomic { ALIVE && !refused -> refused=1; ok=0 };            /* full: nothing happened */
     atomic { ALIVE -> line[x]=CLOSED };
     atomic { ALIVE -> iserial=0 }
  :: atomic { ALIVE -> effect[x]=1; put[n]++; ok=1 };             /* the slot's CAS */
     BUMP(x);
     atomic { ALIVE -> nstatus[x]=DONE };
     atomic { ALIVE -> fact[n]=1 };
     atomic { ALIVE -> iserial=0 }
  fi }

inline sweep(x) {
  atomic { ALIVE -> if :: writer[x]==0 && used[x] -> READ(x,1); v=1 :: else -> v=0 fi };
  if :: v -> recover(x); atomic { ALIVE -> READ(x,0) } :: else fi;
  atomic { v=0 } }

inline look(x) {
  atomic { ALIVE -> v=(nserial[x]==iserial) };
  if
  :: v ->
     atomic { ALIVE -> s=nstatus[x] };
#ifdef BUG_READBACKJUDGES
     atomic { ALIVE -> if :: s==OPEN && cnt[x]!=nbefore[x] -> s=DONE :: else fi };
#else
     assert(s!=OPEN || dead[me]);
#endif
     if :: s==DONE -> atomic { ALIVE -> fact[inumber]=1 } :: else fi
  :: else
  fi; atomic { s=0; v=0 } }

inline read_back() {
  atomic { ALIVE -> v=(iserial!=0) };
  if
  :: v ->
#ifdef BUG_INTENTISDONE
     atomic { ALIVE -> fact[inumber]=1 };
#else
     sweep(0); sweep(1); look(0); look(1);
#endif
     atomic { ALIVE -> iserial=0 }
  :: else
  fi }

proctype Bridge(byte me) {
  byte s, v, l, mine, n=1, at; bit got, ok;
  atomic { ALIVE && lock==0 && (me==1 || dead[me-1] || fin[me-1]) -> lock=me };
  read_back();
  do
  :: atomic { ALIVE && !got -> at=0 }; enter(0); if :: !got -> at=1; enter(1) :: else fi
  :: atomic { ALIVE && got -> break }
  od;
  do
  :: n<=N ->
     if
     :: answered[n] -> n++
     :: else ->
        atomic { ALIVE -> ok=fact[n] };
        if :: !ok -> if :: at==0 -> try(0,n) :: else -> try(1,n) fi :: else fi;
        if :: ok -> atomic { ALIVE -> answered[n]=1; assert(put[n]==1) } :: else fi
     fi
  :: else -> break
  od;
  /* a proper end */
  if :: at==0 -> recover(0) :: else -> recover(1) fi;
  atomic { ALIVE -> writer[at]=0; lock=0; fin[me]=1;
           assert(put[1]==1 && put[N]==1) } }

proctype Stranger(byte me) {
  byte s, v, l; bit got;
  enter(0);
  if
  :: got ->
     LINE(0);
     atomic { ALIVE -> effect[0]=1 };
     BUMP(0);
     recover(0);
     atomic { ALIVE -> writer[0]=0 }
  :: else
  fi;
  atomic { ALIVE -> fin[me]=1 } }

proctype Recoverer(byte me) {
  byte s, v, l;
  sweep(0);
  sweep(1);
  atomic { ALIVE -> fin[me]=1 } }

#define KILL(p) :: atomic { crashes<MAXC && !fin[p] && !dead[p] -> dead[p]=1; crashes++; reader[p]=0; reader1[p]=0; \
    if :: writer[0]==p -> writer[0]=0 :: else fi; if :: writer[1]==p -> writer[1]=0 :: else fi; if :: lock==p -> lock=0 :: else fi }
proctype Crash() {
  do
  KILL(1) KILL(2) KILL(F) KILL(R)
  :: break
  od }
init { atomic { run Bridge(1); run Bridge(2); run Bridge(3);
#ifdef NOSTRANGER
  fin[F]=1;
#else
  run Stranger(F);
#endif
#ifdef STRANGERS
  run Stranger(G);
#else
  fin[G]=1;
#endif
#ifdef RECOVERERS       /* 1 or 2 */
  run Recoverer(R);
#else
  fin[R]=1;
#endif
#if RECOVERERS>1
  run Recoverer(Q);
#else
  fin[Q]=1;
#endif
  run Crash() } }
