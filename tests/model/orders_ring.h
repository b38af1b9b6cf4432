/* orders_ring.h -- litmus tests of what goes through blocks, slots and hints. */
#ifndef PTQ_ORDERS_RING_H
#define PTQ_ORDERS_RING_H

#include "orders_kit.h"

namespace {

/* ---- messages through the ring */

/* P: the slot's CAS gives payload, meta and word; whoever loads the slot has them.  The word is stored relaxed before. */
struct p_publish : litmus<p_publish, 2> {
    SITES({"slot.c publish_entry: slot CAS", mo_seq_cst, mo_relaxed},
          {"take.c take_fresh: slot load", mo_seq_cst, mo_relaxed})
    enum { OWNED, COMMIT, LEASED };
    rl::atomic<int> slot, word;
    rl::var<int> payload;

    void before()
    {
        slot($).store(0, mo_relaxed);
        word($).store(OWNED, mo_relaxed);
        payload($) = 0;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            payload($) = 7;
            word($).store(COMMIT, mo_relaxed);
            cas(slot, 0, 1, at[0]);
        } else if (slot($).load(at[1]) == 1) {
            RL_ASSERT(word($).load(mo_acquire) == COMMIT); /* else it is taken for taken, and passed over */
            RL_ASSERT(cas(word, int(COMMIT), int(LEASED), mo_seq_cst));
            RL_ASSERT(payload($) == 7);
        }
    }
};

/* L: each holder leaves the block by a CAS of its word, and the next one comes to it by that word alone: a redelivered message
 * is never looked for in its slot. */
struct l_hand_on : litmus<l_hand_on, 3> {
    SITES({"lease.h pti_lease_end: CAS", mo_seq_cst, mo_relaxed},
          {"take.c take_redelivered: word load and CAS", mo_acquire, mo_relaxed})
    enum { OWNED, COMMIT, LEASED, REDELIV };
    rl::atomic<int> slot, word;
    rl::var<int> payload, deliveries;

    void before()
    {
        slot($).store(0, mo_relaxed);
        word($).store(OWNED, mo_relaxed);
        payload($) = deliveries($) = 0;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            payload($) = 7;
            word($).store(COMMIT, mo_relaxed);
            cas(slot, 0, 1, mo_seq_cst);
        } else if (i == 1) {
            if (slot($).load(mo_seq_cst) != 1 || !cas(word, int(COMMIT), int(LEASED), mo_seq_cst))
                return;
            deliveries($) = 1;
            cas(word, int(LEASED), int(REDELIV), at[0]);
        } else if (word($).load(at[1]) == REDELIV && cas(word, int(REDELIV), int(LEASED), at[1])) {
            RL_ASSERT(payload($) == 7);
            deliveries($) = deliveries($) + 1;
        }
    }
};

/* A: the consumer has read before the producer writes anew. */
struct a_ack : litmus<a_ack, 2> {
    SITES({"ring.h pti_block_free: word store", mo_release, mo_relaxed},
          {"ring.h pti_block_alloc: word load", mo_acquire, mo_relaxed})
    enum { LEASED, OWNED };
    rl::atomic<int> word;
    rl::var<int> payload;

    void before()
    {
        word($).store(LEASED, mo_relaxed);
        payload($) = 7;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            RL_ASSERT(payload($) == 7);
            word($).store(OWNED, at[0]);
        } else if (word($).load(at[1]) == OWNED) {
            payload($) = 8;
        }
    }
};

/* E: a taker who reads a list that is being written anew (t0 is new by then) finds its elements' words only together with the
 * header's: the second look at the header tells. */
struct e_elements : litmus<e_elements, 3> {
    SITES({"batch.c prepare: element's word store", mo_release, mo_relaxed},
          {"batch.c pti_batch_take: element's word load", mo_acquire, mo_relaxed})
    enum { OLD_HEADER, OWNED, OLD_T0 = 1, NEW_T0, NEW_ELEMENT };
    rl::atomic<int> header, t0, element;

    void before()
    {
        header($).store(OLD_HEADER, mo_relaxed);
        t0($).store(OLD_T0, mo_relaxed);
        element($).store(OWNED, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            cas(header, int(OLD_HEADER), int(OWNED), mo_seq_cst);
        } else if (i == 1) {
            if (header($).load(mo_acquire) != OWNED)
                return;
            element($).store(NEW_ELEMENT, at[0]);
            t0($).store(NEW_T0, mo_relaxed);
        } else if (t0($).load(mo_acquire) == NEW_T0 && element($).load(at[1]) == NEW_ELEMENT) {
            RL_ASSERT(header($).load(mo_acquire) != OLD_HEADER); /* else it leases what is not published, at the old position */
        }
    }
};

/* ---- hints */

/* H: nothing before the head hint is untaken, for whoever reads it. */
struct h_head : litmus<h_head, 2> {
    SITES({"take.c note_head: hint store", mo_release, mo_relaxed},
          {"slot.c pti_ring_is_taken: hint load", mo_acquire, mo_relaxed})
    enum { COMMIT, LEASED };
    rl::atomic<int> word, head;

    void before()
    {
        word($).store(COMMIT, mo_relaxed);
        head($).store(0, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            cas(word, int(COMMIT), int(LEASED), mo_seq_cst);
            head($).store(1, at[0]);
        } else if (head($).load(at[1]) == 1) {
            RL_ASSERT(word($).load(mo_relaxed) == LEASED);
        }
    }
};

/* T: who jumps by the tail hint knows what the entries before it brought: their slots, and that room is counted.  The load was
 * relaxed once. */
struct t_tail : litmus<t_tail, 2> {
    SITES({"slot.c pti_ring_hint_tail: hint store", mo_release, mo_relaxed},
          {"slot.c adopt_tail: hint load", mo_acquire, mo_relaxed})
    rl::atomic<int> flags, slot, tail;

    void before()
    {
        flags($).store(0, mo_relaxed);
        slot($).store(0, mo_relaxed);
        tail($).store(0, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            flags($).fetch_add(1, mo_seq_cst);
            cas(slot, 0, 1, mo_seq_cst);
            tail($).store(1, at[0]);
        } else if (tail($).load(at[1]) == 1) {
            RL_ASSERT(slot($).load(mo_acquire) == 1);  /* else the ring is said to be damaged */
            RL_ASSERT(flags($).load(mo_relaxed) == 1); /* else more than capacity come in */
        }
    }
};

/* R, X: who sees the redelivery word raised sees the mark and the word; so it takes the bit off only where there is none. */
struct r_redelivery : litmus<r_redelivery, 2> {
    SITES({"settle.c pti_ring_redeliver: CAS", mo_seq_cst, mo_relaxed},
          {"take.c lease_next: load", mo_seq_cst, mo_relaxed})
    enum { LEASED, REDELIV };
    rl::atomic<int> mark, word, redelivery;

    void before()
    {
        mark($).store(0, mo_relaxed);
        word($).store(LEASED, mo_relaxed);
        redelivery($).store(0, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            mark($).fetch_add(1, mo_seq_cst);
            cas(word, int(LEASED), int(REDELIV), mo_seq_cst);
            cas(redelivery, 0, 3, at[0]);
        } else if (redelivery($).load(at[1]) == 3) {
            if (mark($).load(mo_acquire) != 1 || word($).load(mo_acquire) != REDELIV)
                cas(redelivery, 3, 2, mo_seq_cst); /* none there: the bit off */
        }
    }
    void after() { RL_ASSERT(redelivery($).load(mo_relaxed) == 3); }
};

/* X: the mark stands before the word: who comes by the word may look at the mark relaxed, and clears it. */
struct x_mark : litmus<x_mark, 2> {
    SITES({"lease.h pti_lease_end: CAS", mo_seq_cst, mo_relaxed},
          {"take.c take_redelivered: word load and CAS", mo_acquire, mo_relaxed})
    enum { LEASED, REDELIV, LEASED_AGAIN };
    rl::atomic<int> mark, word;

    void before()
    {
        mark($).store(0, mo_relaxed);
        word($).store(LEASED, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            mark($).fetch_add(1, mo_seq_cst);
            cas(word, int(LEASED), int(REDELIV), at[0]);
        } else if (word($).load(at[1]) == REDELIV && cas(word, int(REDELIV), int(LEASED_AGAIN), at[1])) {
            RL_ASSERT(mark($).load(mo_relaxed) == 1);
        }
    }
};

/* D: next_due is raised only by who saw everything that was told before it. */
struct d_due : litmus<d_due, 2> {
    SITES({"delay.c pti_delay_lower: CAS", mo_seq_cst, mo_relaxed},
          {"delay.c pti_delay_look: load", mo_seq_cst, mo_relaxed})
    enum { LEASED, DELAYED, NEVER = 0, COME = 1, SOON = 4, LATER = 5, COUNT = 8 };
    rl::atomic<int> due, mark, next_due, word;

    void before()
    {
        due($).store(NEVER, mo_relaxed);
        mark($).store(0, mo_relaxed);
        next_due($).store(COME, mo_relaxed);
        word($).store(LEASED, mo_relaxed);
    }
    void nack()
    {
        int seen;

        due($).store(LATER, mo_release);
        mark($).fetch_add(1, mo_seq_cst);
        do {
            seen = next_due($).load(mo_relaxed);
        } while (!cas(next_due, seen, (seen / COUNT + 1) * COUNT + (seen % COUNT == NEVER ? int(LATER) : seen % COUNT), at[0]));
        cas(word, int(LEASED), int(DELAYED), mo_seq_cst);
    }
    void look()
    {
        int seen = next_due($).load(at[1]), least = NEVER;

        if (mark($).load(mo_acquire) == 1) {
            int state = word($).load(mo_acquire), until = due($).load(mo_acquire);

            least = state == DELAYED ? until : until != NEVER ? int(SOON) : int(NEVER);
        }
        cas(next_due, seen, (seen / COUNT + 1) * COUNT + least, mo_seq_cst);
    }
    void thread(unsigned i)
    {
        if (i == 0)
            nack();
        else
            look();
    }
    void after() { RL_ASSERT(next_due($).load(mo_relaxed) % COUNT != NEVER); } /* somebody will look again */
};

/* ---- leases with a limit */

/* O: once the taker says that he is done, leased_at is his. */
struct o_leased_at : litmus<o_leased_at, 2> {
    SITES({"lease.c pti_lease_missed: taking store", mo_release, mo_relaxed},
          {"lease.c is_overdue: taking load", mo_acquire, mo_relaxed})
    enum { COMMIT, LEASED, IDLE = 0, TAKING = 1, DONE = 2, NOW = 9 };
    rl::atomic<int> word, taking, leased_at;

    void before()
    {
        word($).store(COMMIT, mo_relaxed);
        taking($).store(IDLE, mo_relaxed);
        leased_at($).store(0, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            taking($).store(TAKING, mo_seq_cst);
            cas(word, int(COMMIT), int(LEASED), mo_seq_cst);
            leased_at($).store(NOW, mo_relaxed);
            taking($).store(DONE, at[0]);
        } else if (word($).load(mo_acquire) == LEASED) {
            if (taking($).load(at[1]) != TAKING)
                RL_ASSERT(leased_at($).load(mo_acquire) == NOW); /* else it is overdue as soon as it begins */
        }
    }
};

/* Q: a census that looks twice misses no message that was copied from a block behind it to one before it. */
struct q_census : litmus<q_census, 2> {
    SITES({"lease.c hand_on: CAS to QUAR", mo_seq_cst, mo_relaxed},
          {"end.c is_any_unsettled: word load", mo_acquire, mo_relaxed})
    enum { FREE, COPY, REDELIV, LEASED, QUAR };
    rl::atomic<int> copy, source;

    void before()
    {
        copy($).store(FREE, mo_relaxed);
        source($).store(LEASED, mo_relaxed);
    }
    bool is_settled()
    {
        for (int pass = 0, quarantined = 0; pass < 3; pass++) {
            int of_copy = copy($).load(at[1]), of_source = source($).load(at[1]);

            if (of_copy == REDELIV || of_source == LEASED || (of_copy == COPY && source($).load(mo_acquire) == QUAR))
                return false;
            if (quarantined == (of_source == QUAR))
                return true;
            quarantined = of_source == QUAR;
        }
        return false;
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            copy($).store(COPY, mo_relaxed); /* seq_cst in the code, as the loads are: more than this pair needs */
            cas(source, int(LEASED), int(QUAR), at[0]);
            cas(copy, int(COPY), int(REDELIV), mo_seq_cst);
        } else {
            RL_ASSERT(!is_settled());
        }
    }
};

/* V: the letter's bit stands before the word: who sees a letter leased by its viewer knows that it is one. */
struct v_letter : litmus<v_letter, 3> {
    SITES({"lease.h pti_lease_end: CAS to DEAD", mo_seq_cst, mo_relaxed},
          {"end.c is_any_unsettled: word load", mo_seq_cst, mo_relaxed})
    enum { LEASED, DEAD, VIEWED };
    rl::atomic<int> kind, word;

    void before()
    {
        kind($).store(0, mo_relaxed);
        word($).store(LEASED, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            kind($).store(1, mo_relaxed); /* release in the code: more than this pair needs */
            cas(word, int(LEASED), int(DEAD), at[0]);
        } else if (i == 1) {
            cas(word, int(DEAD), int(VIEWED), mo_seq_cst);
        } else if (word($).load(at[1]) == VIEWED) {
            RL_ASSERT(kind($).load(mo_acquire) == 1);
        }
    }
};

/* ---- what C11 does not promise */

/* G: a guess looks into a block first and at its word again afterwards.  The next owner's stores into it are relaxed, so in C11 a
 * guess may pair what he writes with the word before him.  Processors on which a store that one sees is seen by all (x86, ARMv8)
 * do not do that.  As it is in the code it fails here, which says that it is not proven; with a release store it would hold.
 * Nothing is leased or freed by a guess: e_elements. */
struct g_guess : litmus<g_guess, 3> {
    enum { OLD, ACKED, OLD_LENGTH = 1, NEW_LENGTH };
    rl::atomic<int> word, length;

    void before()
    {
        word($).store(OLD, mo_relaxed);
        length($).store(OLD_LENGTH, mo_relaxed);
    }
    void thread(unsigned i)
    {
        if (i == 0) {
            word($).store(ACKED, mo_release);
        } else if (i == 1) {
            if (word($).load(mo_acquire) == ACKED)
                length($).store(NEW_LENGTH, at[0]);
        } else if (length($).load(mo_acquire) == NEW_LENGTH) {
            RL_ASSERT(word($).load(mo_acquire) != OLD);
        }
    }
};

} // namespace

#endif
