/* orders_kit.h -- how a litmus of orders.cpp is written and run. */
#ifndef PTQ_ORDERS_KIT_H
#define PTQ_ORDERS_KIT_H

#include <fstream>
#include <iostream>
#include <string>

#include <relacy/relacy.hpp>

namespace {

using rl::memory_order;
using rl::mo_acq_rel;
using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;
using rl::mo_seq_cst;

enum { MOST = 8, MANY = 100000000 };

/* An order that the pair needs: what it is in the code, and what it is not enough to be. */
struct site {
    const char *where;
    memory_order is, weak;
};

/* What a litmus says of itself: its sites, each with its number in at[]. */
#define SITES(...)                                                                                                     \
    static const site *sites()                                                                                         \
    {                                                                                                                  \
        static const site all[] = {__VA_ARGS__, {}};                                                                   \
        return all;                                                                                                    \
    }

memory_order at[MOST]; /* of the run under way, by site */

/* Compare-and-swap as pti_cas; `order` of success, a failure acquires as much as that does. */
template <typename T> bool cas(rl::atomic<T> &x, T expected, T desired, memory_order order)
{
    return x.compare_exchange_strong(expected, desired, order, $);
}

template <typename LITMUS, int THREADS> struct litmus : rl::test_suite<LITMUS, THREADS> {};

/* ---- running them */

int runs, wrong;

/* Every execution: 0 if nothing wrong is found, 1 if something is, -1 if the search was not what it should be. */
template <typename LITMUS> int search(std::ostream &out)
{
    rl::test_params params;
    bool holds;

    params.search_type = rl::sched_full;
    params.iteration_count = MANY;
    params.output_stream = &out;
    params.progress_stream = &out;
    holds = rl::simulate<LITMUS>(params);
    if (holds)
        return params.test_result == rl::test_result_success ? 0 : -1;
    return params.test_result == rl::test_result_user_assert_failed || params.test_result == rl::test_result_data_race ? 1 : -1;
}

void report(const char *name, int must, int is, const char *text)
{
    static const char *const verdicts[] = {"not searched", "holds", "fails"};

    runs++;
    wrong += is != must;
    std::cout << (is == must ? "ok    " : "WRONG ") << name << " " << verdicts[is + 1] << "  " << text << "\n";
}

template <typename LITMUS> void check(const char *name, std::ostream &out)
{
    const site *sites = LITMUS::sites();

    for (int i = 0; sites[i].where; i++)
        at[i] = sites[i].is;
    report(name, 0, search<LITMUS>(out), "as in the code");
    for (int i = 0; sites[i].where; i++) {
        at[i] = sites[i].weak;
        report(name, 1, search<LITMUS>(out), (std::string("weakened: ") + sites[i].where).c_str());
        at[i] = sites[i].is;
    }
}

} // namespace

#endif
