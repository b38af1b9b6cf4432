/* mover.pml -- messages carried from a source to a home by movers that are killed anywhere: lease, put under a key, ack, tell.
 *
 * Movers 1, 2, 3 have the exclusive right to get, one after another; R puts back what a dead one held, one message at a time.  The home
 * keeps a fact for each key that took effect, until it is told that the source needs it no more.
 *
 * Checked: nothing is put twice; in the end everything was put and has left the source.
 */
#ifndef N
#define N 3     /* messages */
#endif
#ifndef MAXC
#define MAXC 2  /* kills */
#endif
#define READY 0
#define GONE 9
byte src[N+1];          /* READY, GONE, or who leases it */
bit fact[N+1]; byte put[N+1];
byte life=1, crashes; bit dead[4];

inline lowest_of(who, at) { at=1; do :: at<=N && src[at]!=who -> at++ :: else -> break od }

proctype M(byte me) {
  byte i, settled; bit answered[N+1];
  atomic { life==me };
#ifndef BUG_NOSWEEP
  do                                        /* law 3 */
  :: atomic { me==1 || (src[1]!=me-1 && src[2]!=me-1 && src[3]!=me-1) -> i=0 }; break
  od;
#endif
  do
  :: atomic { lowest_of(READY, i); if :: i<=N -> src[i]=me :: else fi; i=0 }
  :: atomic { i=1; do :: i<N && (src[i]!=me || answered[i]) -> i++ :: else -> break od;
              if
              :: src[i]==me && !answered[i] ->
                 if :: fact[i] :: else -> put[i]++; assert(put[i]==1); fact[i]=1 fi;
                 answered[i]=1
              :: else
              fi; i=0 }
  :: atomic { lowest_of(me, i);             /* acks in order, what was answered */
#ifdef BUG_ACKFIRST
              if :: i<=N -> src[i]=GONE; settled=i :: else fi; i=0 }
#else
              if :: i<=N && answered[i] -> src[i]=GONE; settled=i :: else fi; i=0 }
#endif
  :: atomic {                               /* the home may forget */
#ifdef BUG_TELLANSWERED
              i=N; do :: i>0 && !answered[i] -> i-- :: else -> break od; i++;
#else
              lowest_of(me, i); if :: i>N -> i=settled+1 :: else fi;
#endif
              do :: i>1 -> i--; fact[i]=0 :: else -> break od; i=0 }
  :: atomic { crashes<MAXC && me<3 -> crashes++; dead[me]=1; life++ }; break
  :: atomic { src[1]==GONE && src[2]==GONE && src[3]==GONE -> i=1; do :: i<=N -> assert(put[i]==1); i++ :: else -> break od }; break
  od }

proctype R() {

end:
  do
  :: atomic { src[1]!=READY && src[1]!=GONE && dead[src[1]%4] -> src[1]=READY }
  :: atomic { src[2]!=READY && src[2]!=GONE && dead[src[2]%4] -> src[2]=READY }
  :: atomic { src[3]!=READY && src[3]!=GONE && dead[src[3]%4] -> src[3]=READY }
  od }

init { atomic { run M(1); run M(2); run M(3); run R() } }
