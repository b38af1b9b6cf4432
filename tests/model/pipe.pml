/* pipe.pml -- a pipe's ends: opened, given on, closed, found dead; its queues removed, and a new pipe made of the same name; owners killed
 * or stopped anywhere.
 *
 * Pipe i has a word {a: the anchor's state, p: the point's, lives of the point}, two rights (locks, let go by death), and two queues under
 * names that are there once: `gate` bears the word, `back` goes the other way.  A queue is removed by name: without force only if nobody has
 * it open, with force whoever has.
 *
 * Checked: an end has one owner; who is found dead is; who owns an end has both queues; whoever removes a pipe by force removes that pipe and
 * not another of its name.
 */
#define FREE 0
#define HELD 1
#define CLOSED 2
#define DEAD 3
#ifndef MAXC
#define MAXC 1 /* kills */
#endif
#ifndef GIVES
#define GIVES 1
#endif

byte a[3], p[3], lives[3];
byte alock[3], plock[3];           /* who has the right: 0 nobody */
byte gate, back;                   /* whose queues bear the names */
byte has_gate[3], has_back[3];     /* who has them open, a bit each */
byte aowner[3], powner[3];         /* ghosts: who thinks that it is his */
bit dead[5];

#define BIT(x) (1<<(x))
#define OVER(s) ((s)==CLOSED || (s)==DEAD)
#define LIVES(step) atomic { !dead[me] -> step }

/* Both queues by force, in this order. */
inline remove(i) {
#ifdef BUG_GATEFIRST
  LIVES(assert(gate==0 || gate==i); gate=0 );
  LIVES(assert(back==0 || back==i); back=0 );
#else
  LIVES(assert(back==0 || back==i); back=0 );
  LIVES(assert(gate==0 || gate==i); gate=0 );
#endif
}

inline let_go(i) {
  LIVES(has_back[i]=has_back[i] & ~BIT(me) );
  LIVES(has_gate[i]=has_gate[i] & ~BIT(me);
        if :: plock[i]==me -> plock[i]=0 :: else fi;
        if :: alock[i]==me -> alock[i]=0 :: else fi )
}

/* Is the other end's owner dead?  Read, looked, changed. */
inline look(s, l, free) {
  LIVES(s=p[i]; l=lives[i] );
  if
  :: s==HELD ->
     LIVES(free=(plock[i]==0) );
     if
     :: free ->
#ifdef BUG_NOLIVES
        LIVES(if :: p[i]==HELD -> assert(powner[i]==0 || dead[powner[i]]); p[i]=DEAD :: else fi )
#else
        LIVES(if :: p[i]==HELD && lives[i]==l -> assert(powner[i]==0 || dead[powner[i]]); p[i]=DEAD :: else fi )
#endif
     :: else
     fi
  :: else
  fi;
  s=0; l=0; free=0 }

proctype Anchor(byte me; byte i) {
  byte old, s, l; bit free, over;
  /* ---- made */
  do
  :: LIVES(if :: gate==0 -> gate=i; has_gate[i]=BIT(me); alock[i]=me; old=0 :: else -> old=gate; has_gate[old]=has_gate[old]|BIT(me) fi );
     if
     :: old==0 -> break
     :: else ->
        LIVES(free=(alock[old]==0 && plock[old]==0 && (a[old]==FREE || OVER(p[old]) || p[old]==HELD)) );
        LIVES(has_gate[old]=has_gate[old] & ~BIT(me) );
        if
        :: free -> LIVES(if :: gate!=0 && has_gate[gate]==0 -> gate=0 :: else fi )
        :: else -> goto out
        fi;
        free=0
     fi
  od;
  LIVES(assert(back!=i); if :: back!=0 -> assert(aowner[back]==0 || dead[aowner[back]] || OVER(a[back])); assert(powner[back]==0 || dead[powner[back]]) :: else fi; back=0 );
  LIVES(back=i; has_back[i]=BIT(me) );
  LIVES(a[i]=HELD; aowner[i]=me );
  /* ---- used */
  do
  :: look(s, l, free)
  :: break
  od;
  /* ---- closed */
#ifdef BUG_READ
  LIVES(a[i]=CLOSED; aowner[i]=0 );
  LIVES(over=OVER(p[i]) );
#else
  LIVES(a[i]=CLOSED; aowner[i]=0; over=OVER(p[i]) );
#endif
  if :: over -> remove(i) :: else fi;
  let_go(i);
out:
  skip }

proctype Point(byte me) {
  byte i, gives=GIVES; bit over, mine;
  do
  :: LIVES(gate!=0 -> i=gate; has_gate[i]=has_gate[i]|BIT(me) );
     if :: a[i]==FREE -> let_go(i); break :: else fi;
#ifdef BUG_EARLY
     LIVES(mine=(p[i]==FREE); if :: mine -> p[i]=HELD; lives[i]++; powner[i]=me :: else fi );
     if :: mine -> LIVES(if :: plock[i]==0 -> plock[i]=me :: else mine=0 fi ) :: else fi;
     if :: !mine -> let_go(i); break :: else fi;
     LIVES(has_back[i]=has_back[i]|BIT(me) );
#else
     LIVES(if :: plock[i]==0 -> plock[i]=me; mine=1 :: else fi );
     if :: !mine -> let_go(i); break :: else fi;
     LIVES(if :: p[i]==FREE :: p[i]==HELD -> assert(powner[i]==0 || dead[powner[i]]); p[i]=DEAD; mine=0 :: else mine=0 fi );
     if :: !mine -> let_go(i); break :: else fi;
     LIVES(assert(back==i); has_back[i]=has_back[i]|BIT(me) );
     LIVES(assert(powner[i]==0 || dead[powner[i]]); p[i]=HELD; lives[i]++; powner[i]=me );
#endif
     mine=0;
     if
     :: true -> /* is the anchor's owner dead? */
        if :: a[i]==HELD && alock[i]==0 -> LIVES(assert(aowner[i]==0 || dead[aowner[i]]); if :: a[i]==HELD -> a[i]=DEAD :: else fi ) :: else fi
     :: true
     fi;
     if
     :: gives>0 -> gives--;
#ifdef BUG_GIVELATE
        LIVES(plock[i]=0 );
#endif
        LIVES(assert(p[i]==HELD && powner[i]==me); p[i]=FREE; powner[i]=0 );
        let_go(i); i=0
     :: true ->
#ifdef BUG_READ
        LIVES(p[i]=CLOSED; powner[i]=0 );
        LIVES(over=OVER(a[i]) );
#else
        LIVES(assert(p[i]==HELD && powner[i]==me); p[i]=CLOSED; powner[i]=0; over=OVER(a[i]) );
#endif
        if :: over -> remove(i) :: else fi;
        let_go(i); break
     fi
  :: true -> break
  od }

proctype Killer() {
  byte left=MAXC, x;
  do
  :: left>0 ->
     if :: x=1 :: x=2 :: x=3 fi;
     atomic { left--; dead[x]=1;
       has_gate[1]=has_gate[1] & ~BIT(x); has_gate[2]=has_gate[2] & ~BIT(x); has_back[1]=has_back[1] & ~BIT(x); has_back[2]=has_back[2] & ~BIT(x);
       if :: plock[1]==x -> plock[1]=0 :: else fi; if :: plock[2]==x -> plock[2]=0 :: else fi;
       if :: alock[1]==x -> alock[1]=0 :: else fi; if :: alock[2]==x -> alock[2]=0 :: else fi }
  :: break
  od }

init { atomic { run Anchor(1, 1); run Point(2); run Point(3); run Anchor(4, 2); run Killer() } }
