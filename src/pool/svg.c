/* svg.c -- trails as a picture: a lane a worker, a box a job, and lines from the job that gave something to the job that got it. */
#include "pool/export.h"

#define WIDTH 1240
#define LEFT 170
#define RIGHT 190
#define PLOT (WIDTH - LEFT - RIGHT)
#define TOP 98
#define LANE 20
#define LANE_GAP 7
#define STAGE_GAP 18
#define EDGES_MOST 1200u /* more would be a cloud, and megabytes: then one of several is drawn */

/* Told apart also by who does not see all colours. */
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d31", "#7b5ea7", "#5f6b6d"};
#define FAILED "#c8321e"

static const char *colour_of(const struct pti_lane *lane)
{
    return colours[lane->stage_index % (sizeof colours / sizeof *colours)];
}

/* -- places --------------------------------------------------------------------------------------------------- */

static double x_of(const struct pti_lanes *lanes, int64_t at_ns)
{
    double whole = (double)(lanes->ended_ns - lanes->began_ns);
    return LEFT + (whole > 0 ? PLOT * (double)(at_ns - lanes->began_ns) / whole : 0);
}

static double y_of(const struct pti_lanes *lanes, size_t lane)
{
    return TOP + (double)lane * (LANE + LANE_GAP) + lanes->lanes[lane].stage_index * STAGE_GAP;
}

static double bottom(const struct pti_lanes *lanes)
{
    return lanes->count == 0 ? TOP + LANE : y_of(lanes, lanes->count - 1) + LANE + LANE_GAP;
}

static void write_text(FILE *file, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"' || (unsigned char)*text < 0x20)
            (void)fprintf(file, "&#%d;", (unsigned char)*text < 0x20 ? ' ' : *text);
        else
            (void)fputc(*text, file);
    }
}

/* -- time ----------------------------------------------------------------------------------------------------- */

/* A step of 1, 2 or 5 times a power of ten, so that there are about eight. */
static double step_of(double whole)
{
    double raw = whole / 8, power = 1;
    while (power * 10 <= raw)
        power *= 10;
    double digit = raw / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

static void write_axis(const struct pti_lanes *lanes, FILE *file)
{
    static const struct {
        double ns;
        const char *name;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}};
    double whole = (double)(lanes->ended_ns - lanes->began_ns), low = bottom(lanes);
    unsigned unit = 0;
    if (whole <= 0)
        return;
    double step = step_of(whole);
    while (unit < 3 && whole < 2 * units[unit].ns)
        unit++;
    for (double at = 0; at <= whole; at += step) {
        double x = LEFT + PLOT * at / whole;
        (void)fprintf(file, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/><text x=\"%.1f\" y=\"%.1f\" class=\"tick\">%g%s%s</text>\n", x,
                      TOP - 12, x, low + 4, x, low + 19, at / units[unit].ns, at == 0 ? "" : " ", at == 0 ? "" : units[unit].name);
    }
}

/* -- lanes ---------------------------------------------------------------------------------------------------- */

struct sum {
    uint64_t jobs, failed;
    int64_t on_ns;
};

static struct sum add_up(const struct pti_trail_copy *trail)
{
    struct sum sum = {0};
    for (uint64_t i = 0; i < trail->count; i++) {
        uint64_t ticket = pti_load_relaxed(&trail->spans[i].ticket); /* a copy, here and below */
        if (PTI_SPAN_KIND(ticket) != PTI_SPAN_JOB)
            continue;
        sum.jobs++;
        sum.failed += PTI_SPAN_FAILED(ticket);
        sum.on_ns += pti_load_relaxed(&trail->spans[i].off_ns) - pti_load_relaxed(&trail->spans[i].on_ns);
    }
    return sum;
}

static void write_lane(const struct pti_lanes *lanes, size_t lane, FILE *file)
{
    const struct pti_lane *in = &lanes->lanes[lane];
    struct sum sum = add_up(in->trail);
    double y = y_of(lanes, lane), whole = (double)(lanes->ended_ns - lanes->began_ns);
    if (lane == 0 || in->stage_index != lanes->lanes[lane - 1].stage_index) {
        (void)fprintf(file, "<text x=\"16\" y=\"%.1f\" class=\"stage\" fill=\"%s\">", y - 5, colour_of(in));
        write_text(file, in->stage);
        if (lane != 0 && in->level == lanes->lanes[lane - 1].level) {
            (void)fprintf(file, "<tspan class=\"note\" font-weight=\"normal\" dx=\"6\">beside ");
            write_text(file, lanes->lanes[lane - 1].stage);
            (void)fprintf(file, "</tspan>");
        }
        (void)fprintf(file, "</text>\n");
    }
    (void)fprintf(file, "<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\" class=\"lane\"/><text x=\"%d\" y=\"%.1f\" class=\"worker\">", LEFT, y, PLOT, LANE,
                  LEFT - 8, y + 14);
    write_text(file, in->trail->name);
    (void)fprintf(file, "</text><text x=\"%d\" y=\"%.1f\" class=\"sum\">%llu job%s, %.0f %% on", LEFT + PLOT + 8, y + 14, (unsigned long long)sum.jobs,
                  sum.jobs == 1 ? "" : "s", whole > 0 ? 100 * (double)sum.on_ns / whole : 0);
    if (sum.failed != 0)
        (void)fprintf(file, ", <tspan fill=\"" FAILED "\">%llu failed</tspan>", (unsigned long long)sum.failed);
    (void)fprintf(file, "</text>\n");
}

/* -- boxes ---------------------------------------------------------------------------------------------------- */

/* Several that would be thinner than a line and side by side are one box. */
struct box {
    enum pti_span_kind kind;
    bool failed;
    int64_t on_ns, off_ns;
    uint64_t ticket, count;
    unsigned outputs;
};

static void write_box(const struct pti_lanes *lanes, size_t lane, const struct box *box, FILE *file)
{
    double from = x_of(lanes, box->on_ns), to = x_of(lanes, box->off_ns), y = y_of(lanes, lane);
    bool room = box->kind == PTI_SPAN_ROOM;
    if (to - from < 0.6)
        to = from + 0.6;
    (void)fprintf(file, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" %s%s%s><title>", from, room ? y + 7 : y + 2, to - from, room ? LANE - 14 : LANE - 4,
                  room ? "class=\"room\"" : "class=\"job\" fill=\"", room ? "" : box->failed ? FAILED : colour_of(&lanes->lanes[lane]), room ? "" : "\"");
    if (room)
        (void)fprintf(file, "no room for results, %.3f ms", (double)(box->off_ns - box->on_ns) / 1e6);
    else if (box->count > 1)
        (void)fprintf(file, "%llu jobs from %llu on, %.3f ms", (unsigned long long)box->count, (unsigned long long)box->ticket,
                      (double)(box->off_ns - box->on_ns) / 1e6);
    else
        (void)fprintf(file, "job %llu, %.3f ms, %u output%s%s", (unsigned long long)box->ticket, (double)(box->off_ns - box->on_ns) / 1e6, box->outputs,
                      box->outputs == 1 ? "" : "s", box->failed ? ", failed" : "");
    (void)fprintf(file, "</title></rect>\n");
}

static bool is_one_with(const struct pti_lanes *lanes, const struct box *box, const struct box *next)
{
    return box->count != 0 && box->kind == next->kind && box->failed == next->failed && x_of(lanes, next->off_ns) - x_of(lanes, next->on_ns) < 1 &&
           x_of(lanes, next->on_ns) - x_of(lanes, box->off_ns) < 0.4;
}

static void write_boxes(const struct pti_lanes *lanes, size_t lane, FILE *file)
{
    const struct pti_trail_copy *trail = lanes->lanes[lane].trail;
    struct box box = {.count = 0};
    for (uint64_t i = 0; i < trail->count; i++) {
        uint64_t word = pti_load_relaxed(&trail->spans[i].ticket);
        struct box next = {.kind = PTI_SPAN_KIND(word), .failed = PTI_SPAN_FAILED(word), .ticket = PTI_SPAN_TICKET(word), .count = 1,
                           .on_ns = pti_load_relaxed(&trail->spans[i].on_ns), .off_ns = pti_load_relaxed(&trail->spans[i].off_ns),
                           .outputs = PTI_SPAN_OUTPUTS(pti_load_relaxed(&trail->spans[i].from))};
        if (is_one_with(lanes, &box, &next)) {
            box.off_ns = next.off_ns;
            box.count++;
            continue;
        }
        if (box.count != 0)
            write_box(lanes, lane, &box, file);
        box = next;
    }
    if (box.count != 0)
        write_box(lanes, lane, &box, file);
}

/* -- edges ---------------------------------------------------------------------------------------------------- */

static void write_edge(const struct pti_lanes *lanes, const struct pti_lane_job *giver, const struct pti_lane_job *taker, FILE *file)
{
    double from = x_of(lanes, pti_load_relaxed(&giver->span->off_ns)), to = x_of(lanes, pti_load_relaxed(&taker->span->on_ns));
    double top = y_of(lanes, giver->lane) + LANE / 2.0, low = y_of(lanes, taker->lane) + LANE / 2.0;
    double bend = (to - from) / 2 > 14 ? (to - from) / 2 : 14;
    (void)fprintf(file, "<path d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f\" stroke=\"%s\"/>\n", from, top, from + bend, top, to - bend, low, to, low,
                  colour_of(&lanes->lanes[giver->lane]));
}

/* Returns how many there are; draws each `every`-th, with 0 none. */
static uint64_t write_edges(const struct pti_lanes *lanes, const struct pti_lane_job *jobs, size_t count, uint64_t every, FILE *file)
{
    uint64_t edges = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t from = PTI_SPAN_TICKET(pti_load_relaxed(&jobs[i].span->from));
        const struct pti_lane_job *giver = jobs[i].level != 0 ? pti_lanes_find(jobs, count, jobs[i].level - 1, from) : NULL;
        for (; giver != NULL && giver < jobs + count && giver->level == jobs[i].level - 1 && giver->ticket == from; giver++) {
            if (PTI_SPAN_OUTPUTS(pti_load_relaxed(&giver->span->from)) == 0)
                continue;
            if (every != 0 && edges % every == 0)
                write_edge(lanes, giver, &jobs[i], file);
            edges++;
        }
    }
    return edges;
}

/* -- the whole ------------------------------------------------------------------------------------------------ */

static void write_head(const struct pti_lanes *lanes, uint64_t every, FILE *file)
{
    double height = bottom(lanes) + 34;
    (void)fprintf(file,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" font-family=\"sans-serif\">\n"
                  "<style>.grid{stroke:#d8dcdf}.tick{font-size:11px;fill:#5b6468;text-anchor:middle}.stage{font-size:13px;font-weight:bold}"
                  ".lane{fill:#f0f2f4}.worker{font-size:12px;fill:#30363a;text-anchor:end}.sum{font-size:11px;fill:#5b6468}"
                  ".job{stroke:#fff;stroke-width:.3}.room{fill:#a9b2b7}.title{font-size:16px;font-weight:bold;fill:#202427}"
                  ".note{font-size:11px;fill:#5b6468}.edges path{fill:none;stroke-width:1;stroke-opacity:.45}</style>\n"
                  "<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n<text x=\"16\" y=\"26\" class=\"title\">",
                  WIDTH, height, WIDTH, height, WIDTH, height);
    write_text(file, lanes->title);
    (void)fprintf(file, "</text><text x=\"16\" y=\"44\" class=\"note\">a box is a job from edge on to edge off, a low grey one a wait for "
                  "room, red a failure; between two boxes a worker had nothing to do</text>"
                  "<text x=\"16\" y=\"60\" class=\"note\">%.3f s, %zu worker%s, %llu recorded",
                  (double)(lanes->ended_ns - lanes->began_ns) / 1e9, lanes->count, lanes->count == 1 ? "" : "s", (unsigned long long)lanes->spans);
    if (lanes->dropped != 0)
        (void)fprintf(file, "; %llu older ones are gone", (unsigned long long)lanes->dropped);
    if (lanes->spans == 0)
        (void)fprintf(file, "; nothing was recorded: start the workers with `record`");
    if (every > 1)
        (void)fprintf(file, "; of the lines between jobs one of %llu is drawn", (unsigned long long)every);
    (void)fprintf(file, "</text>\n");
}

void pti_lanes_write_svg(const struct pti_lanes *lanes, const struct pti_lane_job *jobs, size_t count, FILE *file)
{
    uint64_t edges = write_edges(lanes, jobs, count, 0, file), every = edges / EDGES_MOST + 1;
    write_head(lanes, every, file);
    for (size_t lane = 0; lane < lanes->count; lane++)
        write_lane(lanes, lane, file);
    write_axis(lanes, file);
    (void)fprintf(file, "<g class=\"edges\">\n");
    (void)write_edges(lanes, jobs, count, every, file);
    (void)fprintf(file, "</g>\n");
    for (size_t lane = 0; lane < lanes->count; lane++)
        write_boxes(lanes, lane, file);
    (void)fprintf(file, "</svg>\n");
}
