/* orders_meet.h -- litmus tests of those who must not miss each other: sleepers, who closes, threads of one process. */
#ifndef PTQ_ORDERS_MEET_H
#define PTQ_ORDERS_MEET_H

#include "orders_kit.h"

namespace {

/* ---- waking */

/* W: whoever makes it worth waking sees the sleeper, or the sleeper sees it. */
struct w_get : litmus<w_get, 2> {
    SITES({"slot.c publish_entry: slot CAS", mo_seq_cst, mo_acq_rel},
          {"wait.h pti_wake: wait word load", mo_seq_cst, mo_acquire},
          {"wait.c pti_wait_arm: CAS", mo_seq_cst, mo_acq_rel},
          {"take.c pti_ring_may_take: slot load", mo_seq_cst, mo_acquire})
    rl::atomic<int> slot, wait;
    bool woken, saw;

    void before()
    {
        slot($).store(0, mo_relaxed);
        wait($).store(0, mo_relaxed);
        woken = saw = false;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            cas(slot, 0, 1, at[0]);
            woken = wait($).load(at[1]) == 1;
        } else {
            cas(wait, 0, 1, at[2]);
            saw = slot($).load(at[3]) == 1;
        }
    }
    void after() { RL_ASSERT(woken || saw); }
};

/* The same for who waits for room: the lease makes it, and the sleeper looks at the word.  That load was acquiring once. */
struct w_put : litmus<w_put, 2> {
    SITES({"journal.h pti_lease: CAS", mo_seq_cst, mo_acq_rel},
          {"wait.h pti_wake_putters: wait word load", mo_seq_cst, mo_acquire},
          {"wait.c pti_wait_arm: CAS", mo_seq_cst, mo_acq_rel},
          {"slot.c pti_ring_is_taken: word load", mo_seq_cst, mo_acquire})
    enum { COMMIT, LEASED };
    rl::atomic<int> word, head, wait;
    bool woken, saw;

    void before()
    {
        word($).store(COMMIT, mo_relaxed);
        head($).store(0, mo_relaxed);
        wait($).store(0, mo_relaxed);
        woken = saw = false;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            cas(word, int(COMMIT), int(LEASED), at[0]);
            head($).store(1, mo_release);
            woken = wait($).load(at[1]) == 1;
        } else {
            cas(wait, 0, 1, at[2]);
            saw = head($).load(mo_acquire) == 1 || word($).load(at[3]) != COMMIT;
        }
    }
    void after() { RL_ASSERT(woken || saw); }
};

/* W, F: who removes a queue wakes the sleeper, or the sleeper sees REMOVED.  That load was relaxed once. */
struct w_removed : litmus<w_removed, 2> {
    SITES({"recover.c pti_ring_note_unlinked: flags", mo_seq_cst, mo_acq_rel},
          {"wait.h pti_wake_all: wait word load", mo_seq_cst, mo_acquire},
          {"wait.c pti_wait_arm: CAS", mo_seq_cst, mo_acq_rel},
          {"local/wait.c check_interrupt: flags", mo_seq_cst, mo_relaxed})
    rl::atomic<int> flags, wait;
    bool woken, saw;

    void before()
    {
        flags($).store(0, mo_relaxed);
        wait($).store(0, mo_relaxed);
        woken = saw = false;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            flags($).fetch_add(1, at[0]);
            woken = wait($).load(at[1]) == 1;
        } else {
            cas(wait, 0, 1, at[2]);
            saw = flags($).load(at[3]) == 1;
        }
    }
    void after() { RL_ASSERT(woken || saw); }
};

/* W, where there is no membarrier: an ack by exchange, then a look that is seq_cst, and the relaxed one, which gives nothing older. */
struct w_exchange : litmus<w_exchange, 2> {
    SITES({"ring.h pti_block_free: exchange", mo_seq_cst, mo_acq_rel},
          {"ring.h pti_block_free: wait word load", mo_seq_cst, mo_relaxed},
          {"wait.c pti_wait_arm: CAS", mo_seq_cst, mo_acq_rel},
          {"local/poll.c blocks_free: word load", mo_seq_cst, mo_acquire})
    enum { LEASED, FREE };
    rl::atomic<int> word, wait;
    bool woken, saw;

    void before()
    {
        word($).store(LEASED, mo_relaxed);
        wait($).store(0, mo_relaxed);
        woken = saw = false;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            word($).exchange(FREE, at[0]);
            wait($).load(at[1]);
            woken = wait($).load(mo_relaxed) == 1;
        } else {
            cas(wait, 0, 1, at[2]);
            saw = word($).load(at[3]) == FREE;
        }
    }
    void after() { RL_ASSERT(woken || saw); }
};

/* ---- endpoints */

/* S: who sees that nobody is there any more sees what he left. */
struct s_gone : litmus<s_gone, 2> {
    SITES({"recover.c pti_ring_recover: state CAS", mo_seq_cst, mo_relaxed},
          {"peers.c has_other: state load", mo_acquire, mo_relaxed})
    rl::atomic<int> slot, state;

    void before()
    {
        slot($).store(0, mo_relaxed);
        state($).store(1, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            cas(slot, 0, 1, mo_acq_rel);
            cas(state, 1, 0, at[0]);
        } else if (state($).load(at[1]) == 0) {
            RL_ASSERT(slot($).load(mo_acquire) == 1);
        }
    }
};

/* Of two producers that close at once, one at least sees that it is the last. */
struct s_last : litmus<s_last, 2> {
    SITES({"peers.c pti_local_end_if_last: own role", mo_seq_cst, mo_acq_rel},
          {"peers.c has_other: the other's", mo_seq_cst, mo_acquire})
    rl::atomic<int> role[2];
    bool ends[2];

    void before()
    {
        for (int i = 0; i < 2; i++) {
            role[i]($).store(1, mo_relaxed);
            ends[i] = false;
        }
    }
    void thread(unsigned i)
    {
        role[i]($).fetch_add(-1, at[0]);
        ends[i] = role[1 - i]($).load(at[1]) == 0;
    }
    void after() { RL_ASSERT(ends[0] || ends[1]); }
};

/* ---- memory, records, pointers: who sees the word sees what it stands for */

template <typename LITMUS> struct message : litmus<LITMUS, 2> {
    rl::atomic<int> word;
    rl::var<int> what;

    void before()
    {
        word($).store(0, mo_relaxed);
        what($) = 0;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            what($) = 1;
            word($).store(1, at[0]);
        } else if (word($).load(at[1]) == 1) {
            RL_ASSERT(what($) == 1);
        }
    }
};

struct b_backed : message<b_backed> {
    SITES({"block.c pti_block_back: fetch_or", mo_seq_cst, mo_relaxed},
          {"ring.h pti_block_is_backed: load", mo_acquire, mo_relaxed})
};

/* An open unit: who closes it has every record that was committed before, and none comes after. */
struct k_records : litmus<k_records, 2> {
    SITES({"grow.c pti_grow_commit: CAS", mo_seq_cst, mo_relaxed},
          {"grow.c pti_unit_admit: fetch_or", mo_seq_cst, mo_relaxed})
    enum { CLOSED = 8 };
    rl::atomic<int> n;
    rl::var<int> record;
    int committed, counted;

    void before()
    {
        n($).store(1, mo_relaxed);
        record($) = 0;
        committed = counted = 1;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            record($) = 7;
            if (cas(n, 1, 2, at[0]))
                committed = 2;
        } else {
            counted = n($).fetch_add(CLOSED, at[1]);
            if (counted == 2)
                RL_ASSERT(record($) == 7);
        }
    }
    void after() { RL_ASSERT(counted == committed); }
};

struct z_pointer : message<z_pointer> {
    SITES({"side.c map_file: pointer store", mo_release, mo_relaxed},
          {"side.c find_mapped: pointer load", mo_acquire, mo_relaxed})
};

/* ---- threads of one process, where there is no membarrier */

/* C: either the call sees that the handle closes, or who closes sees the call.  The load of closing was relaxed once. */
struct c_close : litmus<c_close, 2> {
    SITES({"lane.h pti_local_enter: inside store", mo_seq_cst, mo_release},
          {"lane.h pti_local_enter: closing load", mo_seq_cst, mo_relaxed},
          {"lane.h pti_local_leave: inside store", mo_release, mo_relaxed},
          {"lane.c wait_for_calls: closing store", mo_seq_cst, mo_release},
          {"lane.c wait_for_calls: inside load", mo_seq_cst, mo_acquire})
    rl::atomic<int> inside, closing;
    rl::var<int> mapped;

    void before()
    {
        inside($).store(0, mo_relaxed);
        closing($).store(0, mo_relaxed);
        mapped($) = 1;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            inside($).store(1, at[0]);
            if (closing($).load(at[1]) == 0)
                RL_ASSERT(mapped($) == 1);
            inside($).store(0, at[2]);
        } else {
            closing($).store(1, at[3]);
            if (inside($).load(at[4]) == 0)
                mapped($) = 0;
        }
    }
};

/* Y: either the owner of a place sees that another wants it, or that one sees the owner at it. */
struct y_bias : litmus<y_bias, 2> {
    SITES({"lane.h pti_bias_enter: busy store", mo_seq_cst, mo_release},
          {"lane.h pti_bias_enter: foreign load", mo_seq_cst, mo_acquire},
          {"lane.h pti_bias_leave: busy store", mo_release, mo_relaxed},
          {"unit.c pti_bias_enter_any: foreign store", mo_seq_cst, mo_release},
          {"unit.c pti_bias_enter_any: busy load", mo_seq_cst, mo_acquire},
          {"unit.c pti_bias_leave_any: foreign store", mo_release, mo_relaxed})
    rl::atomic<int> busy, foreign;
    rl::var<int> unit;

    void before()
    {
        busy($).store(0, mo_relaxed);
        foreign($).store(0, mo_relaxed);
        unit($) = 0;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            busy($).store(1, at[0]);
            if (foreign($).load(at[1]) == 0)
                unit($) = unit($) + 1;
            busy($).store(0, at[2]);
        } else {
            foreign($).store(1, at[3]);
            if (busy($).load(at[4]) == 0)
                unit($) = unit($) + 1;
            foreign($).store(0, at[5]);
        }
    }
};

} // namespace

#endif
