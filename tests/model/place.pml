/* place.pml -- values of a share and the two places that may point to one: an entry that is a cell, and one in its making.
 *
 * Entry 0 is a cell, which is written; entry 1 is claimed by makers, each of whom points it to the value that he holds before it is known
 * whether it gets into the list: it wins, or somebody else was first and it is let go.  A value is claimed when it is FREE; when it is
 * PUBLISHED at a place that does not point to it; when its holder is dead, after it was settled: PUBLISHED at the first place that
 * points to it, else FREE.  Between any two steps a worker may stand still for ever, or be killed.
 *
 * Checked: nobody claims a value that a cell points to.  In share.pml there is one place, and every block is known to it.
 */
#ifndef NB
#define NB 3     /* values */
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef MAXC
#define MAXC 1   /* kills */
#endif
#define FREE 0
#define HELD 1
#define PUBLISHED 2
#define NOWHERE NB

byte points_to[2]=NOWHERE;           /* the pairs: which value, or dead */
byte state[NB], who[NB], place[NB], count[NB];
byte entry_state, entry_who; bit listed;
bit dead[3];

#define LIVES(step) atomic { !dead[me] -> step }
#define IS_A_CELLS(b) (points_to[0]==b || (listed && points_to[1]==b))

inline set_tag(b, new_state, new_who, new_place) { state[b]=new_state; who[b]=new_who; place[b]=new_place; count[b]++ }

proctype P(byte me) {
  byte b, s, w, c, at, found, held, left=ROUNDS; bit done, makes;
  do
  :: left==0 -> break
  :: left>0 ->
     left--;
     if :: makes=0 :: makes=1 fi;
     /* ---- a maker's entry */
     if
     :: makes ->
        LIVES(if
              :: entry_state==FREE -> entry_state=HELD; entry_who=me; done=1
              :: entry_state==PUBLISHED && !listed -> entry_state=HELD; entry_who=me; done=1
              :: entry_state==HELD && entry_who!=me && dead[entry_who] ->  /* settled by one look at the list */
                 if :: listed -> entry_state=PUBLISHED :: else -> entry_state=FREE fi; done=0
              :: else -> done=0
              fi );
        if :: !done -> goto next :: else fi; done=0
     :: else
     fi;
     /* ---- claim a value */
     do
     :: LIVES(if :: b=0 :: b=1 :: b=NB-1 fi; s=state[b]; w=who[b]; c=count[b]; at=place[b] );
        if
        :: s==PUBLISHED -> LIVES(if :: points_to[at]==b -> s=FREE+9 :: else -> s=FREE fi )
        :: else
        fi;
        if
        :: s==FREE -> LIVES(if
                            :: count[b]==c -> assert(!IS_A_CELLS(b)); set_tag(b, HELD, me, 0); held=b; done=1
                            :: else
                            fi )
        :: s==HELD && w!=me && dead[w] ->   /* from the first entry on: here the maker's */
           found=NOWHERE;
           LIVES(if :: points_to[1]==b -> found=1 :: else fi );
#ifndef BUG_ONEPLACE
           if :: found==NOWHERE -> LIVES(if :: points_to[0]==b -> found=0 :: else fi ) :: else fi;
#endif
           LIVES(if
                 :: count[b]==c && found<2 -> set_tag(b, PUBLISHED, 0, found)
                 :: count[b]==c && found==NOWHERE -> set_tag(b, FREE, 0, 0)
                 :: else
                 fi );
           found=0
        :: else
        fi;
        s=0; w=0; c=0; at=0; b=0;
        if :: done -> break :: else fi
     :: LIVES(true ); goto out   /* it need not go on */
     od;
     done=0;
     if
     :: !makes ->
        LIVES(points_to[0]=held );
        LIVES(if :: state[held]==HELD && who[held]==me -> set_tag(held, PUBLISHED, 0, 0) :: else fi )
     :: makes ->
        LIVES(points_to[1]=held );
        if
        :: LIVES(listed=1 );
           LIVES(entry_state=PUBLISHED );
           LIVES(if :: state[held]==HELD && who[held]==me -> set_tag(held, PUBLISHED, 0, 1) :: else fi );
           LIVES(points_to[1]=NOWHERE );   /* deleted: dead, */
           LIVES(listed=0 )                /* and taken out of its list */
        :: true ->
#ifndef BUG_LEAVES
           LIVES(points_to[1]=NOWHERE );
#endif
           LIVES(entry_state=FREE );
           LIVES(if :: state[held]==HELD && who[held]==me -> set_tag(held, FREE, 0, 0) :: else fi )
        fi
     fi;
     held=0;
next: makes=0
  od;
out: skip }

proctype K() {
  byte left=MAXC;
  do
  :: left>0 -> atomic { left--; if :: dead[1]=1 :: dead[2]=1 :: skip fi }
  :: left==0 -> break
  od }

init { atomic { run P(1); run P(2); run K() } }
