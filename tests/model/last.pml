/* last.pml -- the last producer that closes ends the queue.
 *
 * NP producers close or die, at any time and inside their close.  A close takes back the own role, then looks at each other's
 * role and at whether he lives; if it sees none it ends the queue.
 *
 * Checked: nobody ends it while a producer lives who has not begun to close; when all are gone and the last to go closed, it is
 * ended.
 */
#ifndef NP
#define NP 3
#endif
#ifndef MAXC
#define MAXC 1
#endif
bit role[NP], gone[NP], done[NP], ended, last_died; byte crashes;
#define ALIVE !gone[me]
inline clear() { atomic { ALIVE -> role[me]=0; last_died=0 } }
inline look() {
  i=0; others=0;
  do
  :: i<NP && i==me -> i++
  :: i<NP && i!=me -> atomic { ALIVE ->
#ifdef BUG_NOSWEEP
       if :: role[i] -> others++ :: else fi;
#else
       if :: role[i] && !gone[i] -> others++ :: else fi;
#endif
       i++ }
  :: else -> break
  od }
proctype Producer(byte me) { byte i, others, k;
#ifdef BUG_LOOKFIRST
  look(); clear();
#else
  clear(); look();
#endif
  if
  :: others==0 ->
     atomic { ALIVE ->
       for (k : 0 .. NP-1) { if :: k!=me -> assert(gone[k] || !role[k]) :: else fi }
       ended=1 }
  :: else
  fi;
  atomic { ALIVE -> done[me]=1 } }
proctype Crash() { byte x;
  do
  :: crashes<MAXC ->
     atomic { select(x : 0 .. NP-1); if :: !done[x] && !gone[x] -> gone[x]=1; crashes++; if :: role[x] -> last_died=1 :: else fi :: else fi }
  :: break
  od }
init { byte j;
  atomic { for (j : 0 .. NP-1) { role[j]=1 } for (j : 0 .. NP-1) { run Producer(j) } run Crash() };
  timeout;
  /* last_died: somebody with his role died after the last that was taken back.  Who died inside his close, after that, may have
   * been the one to end it. */
  bit half=0;
  for (j : 0 .. NP-1) { if :: gone[j] && !role[j] -> half=1 :: else fi }
  assert(ended || last_died || half); }
