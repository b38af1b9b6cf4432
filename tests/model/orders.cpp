/* orders.cpp -- litmus tests of the pairs in docs/memory-model.md, in C++11's memory model, by Relacy (Debian: relacy-dev).
 *
 * Each litmus is a pair in its smallest form: the same accesses as in the code, in the same order, with the same orders.
 * Relacy runs every interleaving with every value that the model lets a load give.  With the orders of the code nothing wrong
 * may be found; then each order that the pair needs is weakened, alone, and something wrong must be found: else the litmus
 * proves nothing.  So this sees what no test on x86 can.
 *
 * What it does not know: loads that give values which are stored later (load buffering), fences, membarrier (end.pml has that
 * pair), and the kernel's locks.
 */
#include "orders_meet.h"
#include "orders_ring.h"

int main()
{
    static std::ofstream out("/dev/null");

#define CHECK(name) check<name>(#name, out)
    CHECK(p_publish);
    CHECK(l_hand_on);
    CHECK(a_ack);
    CHECK(e_elements);
    CHECK(h_head);
    CHECK(t_tail);
    CHECK(r_redelivery);
    CHECK(x_mark);
    CHECK(d_due);
    CHECK(o_leased_at);
    CHECK(q_census);
    CHECK(v_letter);
    CHECK(w_get);
    CHECK(w_put);
    CHECK(w_removed);
    CHECK(w_exchange);
    CHECK(s_gone);
    CHECK(s_last);
    CHECK(b_backed);
    CHECK(k_records);
    CHECK(z_pointer);
    CHECK(c_close);
    CHECK(y_bias);
    at[0] = mo_relaxed;
    report("g_guess", 1, search<g_guess>(out), "as in the code: by the processor, not by C11");
    at[0] = mo_release;
    report("g_guess", 0, search<g_guess>(out), "with a release store");
    std::cout << runs << " runs, " << wrong << " wrong\n";
    return wrong != 0;
}
