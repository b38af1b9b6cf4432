/* main.c -- runs scenarios under many schedules within a budget; a run that fails is shown, and how to see it again. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim/main.h"
#include "sim/scenario.h"
#include "sim/sim.h"

struct options {
    const char *object, *scenario; /* object: the library, as a file */
    enum sim_mode mode;
    bool has_mode, has_seed, has_plan, is_mutant, is_fresh, is_shown, quiet, list;
    uint64_t seed, runs;
    double seconds;
    unsigned lines;
    struct sim_plan plan[SIM_PLAN_MAX];
    unsigned plan_count;
    int deaths, buffers; /* -1: by the seed */
};

static const char *const mode_names[] = {"random", "pct", "plan"};
static uint64_t runs, steps;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- showing */

static void print_command(const struct sim_config *config, const struct options *options)
{
    printf("again: sim --library=%s --scenario=%s --mode=%s --seed=%llu", options->object, config->scenario->name,
           mode_names[config->mode], (unsigned long long)config->seed);
    if (config->mode == SIM_PLAN) {
        printf(" --plan=");
        for (unsigned i = 0; i < config->plan_count; i++)
            printf("%s%llu:%d", i > 0 ? "," : "", (unsigned long long)config->plan[i].step, config->plan[i].to);
    }
    printf(" --lines=%u\n", options->lines > 0 ? options->lines : 300);
}

static bool run(const struct sim_config *config, const struct options *options)
{
    bool kept = sim_run(config, options->is_shown);

    runs++;
    steps += sim.step;
    if (kept && options->is_shown)
        sim_trace_show(options->lines);
    if (kept || options->quiet)
        return kept;
    printf("scenario %s (%s), seed %llu, %s%s%s: %s\n", config->scenario->name, config->scenario->what,
           (unsigned long long)config->seed, mode_names[config->mode], config->deaths ? ", deaths" : "",
           config->buffers ? ", store buffers" : "", sim.text);
    sim_trace_clear();
    if (sim_run(config, true))
        printf("(the second time it went well: the simulator is at fault)\n");
    sim_trace_show(options->lines);
    print_command(config, options);
    return kept;
}

/* ---- one scenario */

/* Everything of a run follows from its seed. */
static struct sim_config make_config(const struct sim_scenario *scenario, uint64_t seed, uint64_t length,
                                     const struct options *options)
{
    struct sim_config config = {.scenario = scenario, .seed = seed, .length = length};

    config.mode = options->has_mode ? options->mode : seed % 3 == 2 ? SIM_PCT : SIM_RANDOM;
    config.deaths = options->deaths >= 0 ? options->deaths : seed / 3 % 2 == 1;
    config.buffers = options->buffers >= 0 ? options->buffers : seed / 6 % 2 == 1;
    return config;
}

static uint64_t measure(const struct sim_scenario *scenario)
{
    struct sim_config config = {.scenario = scenario, .mode = SIM_PLAN, .seed = 1, .length = 1000};

    sim_run(&config, false);
    return sim.step > sim.race_begin ? sim.step - sim.race_begin : 1;
}

static bool run_scenario(const struct sim_scenario *scenario, const struct options *options, uint64_t length, uint64_t from,
                         uint64_t to, double until)
{
    for (uint64_t i = from; i < to && now() < until; i++) {
        struct sim_config config = make_config(scenario, options->seed + i, length, options);
        if (!run(&config, options))
            return false;
    }
    return true;
}

/* ---- bounded depth first: the plain schedule, then every one with a preemption or a death anywhere, then with two */

static bool run_plan(const struct sim_scenario *scenario, const struct options *options, unsigned count,
                     const struct sim_plan *plan)
{
    struct sim_config config = {.scenario = scenario, .mode = SIM_PLAN, .seed = options->seed, .length = 1000};

    config.buffers = options->buffers > 0;
    config.plan_count = count;
    memcpy(config.plan, plan, count * sizeof *plan);
    return run(&config, options);
}

static bool run_depth_first(const struct sim_scenario *scenario, const struct options *options, double until)
{
    uint64_t length = measure(scenario);
    int least = -2, most = 0;

    while (most < SIM_PROCS - 1 && scenario->roles[most] != NULL)
        most++;
    for (uint64_t first = 0; first <= length && now() < until; first++)
        for (int to = least; to <= most; to++) {
            struct sim_plan plan[1] = {{first, to}};
            if (!run_plan(scenario, options, 1, plan))
                return false;
        }
    /* Of those with two, as many as there is time for, spread evenly. */
    for (uint64_t i = 0; now() < until; i++) {
        uint64_t a = i * UINT64_C(0x9e3779b97f4a7c15) % length, b = a + 1 + i * UINT64_C(0xd1b54a32d192ed03) % length;
        struct sim_plan plan[2] = {{a, least + (int)(i % (unsigned)(most - least + 1))},
                                   {b, least + (int)(i / 7 % (unsigned)(most - least + 1))}};
        if (!run_plan(scenario, options, 2, plan))
            return false;
    }
    return true;
}

/* ---- the program */

static const struct sim_scenario *find_scenario(const char *name)
{
    for (unsigned i = 0; i < sim_scenario_count; i++)
        if (strcmp(sim_scenarios[i]->name, name) == 0)
            return sim_scenarios[i];
    fprintf(stderr, "sim: there is no scenario '%s'; see --list\n", name);
    exit(2);
}

static void read_plan(const char *text, struct options *options)
{
    char *end;

    options->has_plan = true;
    for (const char *at = text; *at != '\0'; at = *end == ',' ? end + 1 : end) {
        unsigned long long step = strtoull(at, &end, 10);
        if (*end != ':' || options->plan_count == SIM_PLAN_MAX) {
            fprintf(stderr, "sim: a plan is STEP:PROCESS,..., for a death -1, for a stop -2\n");
            exit(2);
        }
        options->plan[options->plan_count++] = (struct sim_plan){step, (int)strtol(end + 1, &end, 10)};
    }
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"library", required_argument, NULL, 'l'}, {"scenario", required_argument, NULL, 's'},
        {"mode", required_argument, NULL, 'm'},    {"seed", required_argument, NULL, 'e'},
        {"runs", required_argument, NULL, 'r'},    {"seconds", required_argument, NULL, 't'},
        {"lines", required_argument, NULL, 'n'},   {"plan", required_argument, NULL, 'p'},
        {"fresh", no_argument, NULL, 'f'},     {"trace", no_argument, NULL, 'T'},
        {"mutant", no_argument, NULL, 'u'},  {"deaths", required_argument, NULL, 'd'},
        {"buffers", required_argument, NULL, 'b'}, {"list", no_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'l': options->object = optarg; break;
        case 's': options->scenario = optarg; break;
        case 'u': options->is_mutant = true; break;
        case 'm':
            options->has_mode = true;
            options->mode = strcmp(optarg, "pct") == 0 ? SIM_PCT : strcmp(optarg, "plan") == 0 ? SIM_PLAN : SIM_RANDOM;
            break;
        case 'e': options->seed = strtoull(optarg, NULL, 10); options->has_seed = true; break;
        case 'r': options->runs = strtoull(optarg, NULL, 10); break;
        case 't': options->seconds = strtod(optarg, NULL); break;
        case 'n': options->lines = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'p': read_plan(optarg, options); break;
        case 'd': options->deaths = atoi(optarg); break;
        case 'b': options->buffers = atoi(optarg); break;
        case 'f': options->is_fresh = true; break;
        case 'T': options->is_shown = true; break;
        case 'L': options->list = true; break;
        default:
            printf("usage: sim --library=FILE [--scenario=NAME] [--seconds=N | --runs=N] [--seed=N] [--mode=random|pct|plan]\n"
                   "           [--plan=STEP:PROCESS,...] [--deaths=0|1] [--buffers=0|1] [--lines=N] [--list] [--fresh] [--trace] [--mutant]\n"
                   "Runs the library in simulated processes.  With --seed and without --seconds or --runs: that one run.\n"
                   "--trace: shows also a run that went well.\n"
                   "--fresh: seeds that were not tried before.\n"
                   "--mutant: the library is wrong; to find it out is success.\n");
            exit(option == 'h' ? 0 : 2);
        }
    }
}

#define ROUND 24 /* runs of a scenario, then the next one's turn */

static bool is_wanted(const struct options *options, unsigned i)
{
    return options->scenario == NULL || strcmp(options->scenario, sim_scenarios[i]->name) == 0;
}

static bool run_all(const struct options *options)
{
    double until = now() + options->seconds;
    uint64_t lengths[64];

    for (unsigned i = 0; i < sim_scenario_count; i++)
        lengths[i] = is_wanted(options, i) ? measure(sim_scenarios[i]) : 1;
    for (uint64_t done = 0; (options->runs == 0 || done < options->runs) && now() < until; done += ROUND)
        for (unsigned i = 0; i < sim_scenario_count; i++)
            if (is_wanted(options, i) && !run_scenario(sim_scenarios[i], options, lengths[i], done, done + ROUND, until))
                return false;
    return true;
}

/* A mutant must be caught. */
static int hunt(struct options *options)
{
    const char *stale = sim_library_stale();

    if (stale != NULL) {
        printf("mutant: what it changes is no longer in %s, or there twice: write its file in tests/sim/mutants anew\n", stale);
        return 1;
    }
    options->quiet = true;
    if (run_all(options)) {
        printf("mutant: not caught in %llu runs, %llu steps\n", (unsigned long long)runs, (unsigned long long)steps);
        return 1;
    }
    printf("mutant: caught in run %llu, %.2f s: scenario %s, seed %llu: %s\n", (unsigned long long)runs, now(),
           sim.config.scenario->name, (unsigned long long)sim.config.seed, sim.text);
    return 0;
}

static bool run_chosen(const struct options *options)
{
    const struct sim_scenario *scenario = find_scenario(options->scenario);

    if (options->has_plan)
        return run_plan(scenario, options, options->plan_count, options->plan);
    if (options->has_mode && options->mode == SIM_PLAN)
        return run_depth_first(scenario, options, now() + options->seconds);
    return run_scenario(scenario, options, measure(scenario), 0, options->runs ? options->runs : UINT64_MAX,
                        now() + options->seconds);
}

int main(int argc, char **argv)
{
    struct options options = {.seconds = 0, .lines = 60, .deaths = -1, .buffers = -1};
    double begin;

    read_options(argc, argv, &options);
    if (options.list) {
        for (unsigned i = 0; i < sim_scenario_count; i++)
            printf("%-12s %s\n", sim_scenarios[i]->name, sim_scenarios[i]->what);
        return 0;
    }
    if (options.object == NULL) {
        fprintf(stderr, "sim: --library is missing; see --help\n");
        return 2;
    }
    if (options.has_seed && options.runs == 0 && options.seconds == 0)
        options.runs = 1;
    if (options.seconds == 0)
        options.seconds = options.runs > 0 ? 1e9 : 5;
    if (options.is_fresh) {
        options.seed = (uint64_t)time(NULL) << 24;
        printf("seeds from %llu on\n", (unsigned long long)options.seed);
    }
    sim_memory_init();
    sim_library_load(options.object);
    if (options.is_mutant)
        return hunt(&options);
    begin = now();
    bool kept = options.scenario != NULL ? run_chosen(&options) : run_all(&options);
    printf("%s: %llu runs, %llu steps in %.1f s\n", kept ? "all promises were kept" : "a promise was broken",
           (unsigned long long)runs, (unsigned long long)steps, now() - begin);
    return kept ? 0 : 1;
}
