/* share.pml -- a cell of bytes: blocks that are free because nothing points to them; writers killed or stopped anywhere, readers that
 * copy and look again.
 *
 * Writer w claims a block by CAS of its tag, writes both its words, points the pair to it by CAS and says so in the tag.  A block is
 * claimed when it is FREE; when it is PUBLISHED and the pair does not point to it (looked at after its tag was read); when it is HELD by
 * somebody dead, after it was settled: PUBLISHED if the pair points to it, else FREE.  Between any two steps a writer may stand still for
 * ever, or be killed.
 *
 * Checked: what a reader takes for whole is what was written, both words of it, at the version that it saw; what a writer points to is
 * what it wrote.  Which of several places points to a block: place.pml.
 */
#define NB 3    /* blocks: one pointed to and one for each writer */
#ifndef WRITES
#define WRITES 2
#endif
#ifndef READS
#define READS 1
#endif
#ifndef MAXC
#define MAXC 1  /* kills */
#endif
#define FREE 0
#define HELD 1
#define PUBLISHED 2

byte pair_block=NB, pair_version, pair_value;   /* value: what was meant, a ghost */
byte state[NB], who[NB], count[NB];
byte one[NB], two[NB];
bit dead[3]; byte values;

/* One step of a living writer. */
#define LIVES(step) atomic { !dead[me] -> step }

#ifdef BUG_NOCOUNT
#define SAME(b) (state[b]==s && who[b]==w)
#else
#define SAME(b) (count[b]==c)
#endif

#ifdef BUG_ANYHELD
#define CLAIMABLE (s==FREE || (s==PUBLISHED && !points) || (s==HELD && w!=me))
#else
#define CLAIMABLE (s==FREE || (s==PUBLISHED && !points))
#endif

inline set_tag(b, new_state, new_who) { state[b]=new_state; who[b]=new_who; count[b]++ }

proctype W(byte me) {
  byte b, s, w, c, held, v, left=WRITES; bit points, done, version_moved;
  byte seen_version;
  do
  :: left==0 -> break
  :: left>0 ->
     left--; done=0;
     /* ---- claim: any block, in any order */
     do
     :: LIVES(if :: b=0 :: b=1 :: b=2 fi;
#ifdef BUG_LOOKFIRST
              points=(pair_block==b) );
        LIVES(s=state[b]; w=who[b]; c=count[b] );
#else
              s=state[b]; w=who[b]; c=count[b] );
        LIVES(points=(pair_block==b) );
#endif
        if
        :: CLAIMABLE -> LIVES(if :: SAME(b) -> set_tag(b, HELD, me); held=b; done=1 :: else fi )
        :: s==HELD && w!=me ->
           /* settle: the lock is held for reading while we look, and only a dead one's can be had */
#ifdef BUG_NOLOCK
           LIVES(points=(pair_block==b) );
#else
           if
           :: dead[w] -> LIVES(points=(pair_block==b) )
           :: else -> s=FREE+9
           fi;
#endif
           if
           :: s==HELD ->
#ifdef BUG_FREES
              LIVES(if :: SAME(b) -> set_tag(b, FREE, 0) :: else fi )
#else
              LIVES(if :: SAME(b) && points -> set_tag(b, PUBLISHED, 0) :: SAME(b) && !points -> set_tag(b, FREE, 0) :: else fi )
#endif
           :: else
           fi
        :: else
        fi;
        s=0; w=0; c=0; points=0; b=0;
        if :: done -> break :: else fi
     :: LIVES(true ); done=0; goto out   /* it need not go on */
     od;
     done=0;
     /* ---- write */
     LIVES(values++; v=values; one[held]=v );
     LIVES(two[held]=v );
     /* ---- point to it */
     do
     :: LIVES(seen_version=pair_version );
        LIVES(if
              :: pair_version==seen_version -> pair_block=held; pair_version++; pair_value=v; done=1;
                 assert(one[held]==v && two[held]==v)
              :: else
              fi );
        seen_version=0;
        if :: done -> break :: else fi
     od;
     LIVES(if :: state[held]==HELD && who[held]==me -> set_tag(held, PUBLISHED, 0) :: else assert(false) fi );
     held=0; v=0; done=0
  od;
out: skip }

proctype R() {
  byte b, version, value, x, y, left=READS;
  do
  :: left>0 ->
     left--;
     atomic { pair_block<NB -> b=pair_block; version=pair_version; value=pair_value };
     x=one[b];
     y=two[b];
     atomic {
#ifndef BUG_NORECHECK
       if :: pair_version==version -> assert(x==value && y==value) :: else fi;
#else
       assert(x==value && y==value);
#endif
       b=0; version=0; value=0; x=0; y=0 }
  :: left==0 -> break
  od }

/* Kills anywhere. */
proctype K() {
  byte left=MAXC;
  do
  :: left>0 -> atomic { left--; if :: dead[1]=1 :: dead[2]=1 :: skip fi }
  :: left==0 -> break
  od }

init { atomic { run W(1); run W(2); run R(); run K() } }
