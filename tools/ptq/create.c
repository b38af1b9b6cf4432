/* create.c -- ptq create: a queue with the properties that are asked for. */
#include <string.h>

#include "commands.h"

struct create_options {
    uint64_t capacity, item_size, max_deliveries, max_endpoints;
    uint64_t bytes, header_size, max_dead;
    uint32_t mode;
    const char *group;
    int policy, stamps, ttl, lease;
    bool no_headers, expired_to_dead, last_producer_ends;
    bool unlimited, prefault, ephemeral, exclusive;
    const char *spec;
};

#define FIELD(name) offsetof(struct create_options, name)
static const struct tool_option create_options[] = {
    {'c', "capacity", TOOL_COUNT, FIELD(capacity), "N", "messages that it holds ready at once (default 1000)"},
    {'s', "item-size", TOOL_SIZE, FIELD(item_size), "BYTES", "bytes in its largest message, to 1G (default 4096)"},
    {0, "max-deliveries", TOOL_COUNT, FIELD(max_deliveries), "N",
     "a message handed out more often becomes a dead letter (default 20)"},
    {0, "no-max-deliveries", TOOL_FLAG, FIELD(unlimited), NULL, "hand a message out as often as it takes"},
    {0, "max-endpoints", TOOL_COUNT, FIELD(max_endpoints), "N", "threads and processes attached at once, to 2047 (default 256)"},
    {0, "spec", TOOL_TEXT, FIELD(spec), "FIELDS",
     "what its messages are, kept with it for whoever attaches: name:type[dims] ..., types u8 to u64, i8 to i64, f32, f64"},
    {'b', "bytes", TOOL_SIZE, FIELD(bytes), "BYTES", "bytes that it holds ready at once, beside --capacity; without it no such limit"},
    {0, "policy", TOOL_CHOICE, FIELD(policy), "block|fail|drop-oldest|drop-newest",
     "what a put does when it is full: waits, fails at once, drops the oldest ready message, or is dropped itself (default block)"},
    {0, "ttl", TOOL_MS, FIELD(ttl), "MS", "messages that are older expire, unless they were put with a time of their own"},
    {0, "expired-to-dead", TOOL_FLAG, FIELD(expired_to_dead), NULL, "what expires becomes a dead letter instead of being dropped"},
    {0, "max-dead", TOOL_COUNT, FIELD(max_dead), "N", "dead letters kept: beyond, the oldest is dropped; the capacity, to 1000"},
    {0, "lease", TOOL_MS, FIELD(lease), "MS", "a lease held longer is handed to another (default: a lease lasts as long as its holder lives)"},
    {0, "stamps", TOOL_CHOICE, FIELD(stamps), "sampled|all|off", "which messages bear the time of their put; sampled: every 64th"},
    {0, "header-size", TOOL_COUNT, FIELD(header_size), "BYTES",
     "room for headers beside the largest message, to 512 (default: what fits well)"},
    {0, "no-headers", TOOL_FLAG, FIELD(no_headers), NULL, "no room for headers"},
    {0, "last-producer-ends", TOOL_FLAG, FIELD(last_producer_ends), NULL, "the last producer that closes ends the queue"},
    {'m', "mode", TOOL_OCTAL, FIELD(mode), "BITS", "permission bits, whatever the umask; 0600, with --group 0660"},
    {'g', "group", TOOL_TEXT, FIELD(group), "GROUP", "share it with this group, a name or a number"},
    {0, "prefault", TOOL_FLAG, FIELD(prefault), NULL, "take all its memory now, not as it is needed"},
    {0, "ephemeral", TOOL_FLAG, FIELD(ephemeral), NULL, "ptq gc may remove it with messages inside"},
    {'x', "exclusive", TOOL_FLAG, FIELD(exclusive), NULL, "fail if it exists, whatever its properties"},
    {0}};
#undef FIELD

const struct tool_usage create_usages[] = {
    {.name = "create",
     .operands = "QUEUE",
     .summary = "create a queue",
     .text = "Creates a queue.  One that exists already is left as it is: it is an error if it has other properties than those "
             "given, and with --exclusive in any case.",
     .examples = "ptq create tasks --capacity 10k --item-size 64K\n"
                 "ptq create latest --capacity 1 --policy drop-oldest\n"
                 "ptq create clips --bytes 256M --item-size 1M --ttl 2s\n"
                 "ptq create frames --spec 'images:u8[480,640,3] label:i32'",
     .options = create_options},
    {0}};

int cmd_create(int argc, char **argv)
{
    struct create_options options = {0};
    int first = tool_read_operands(create_usages, argc, argv, &options, 1, 1);
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    if (options.item_size > PTQ_ITEM_MAX)
        return tool_misuse("create", "--item-size is at most %u", PTQ_ITEM_MAX);
    if (options.max_endpoints > 2047)
        return tool_misuse("create", "--max-endpoints is at most 2047");
    if (options.max_deliveries >= PTQ_NEVER)
        return tool_misuse("create", "--max-deliveries is too large: give --no-max-deliveries");
    if (options.unlimited && options.max_deliveries > 0)
        return tool_misuse("create", "--max-deliveries and --no-max-deliveries exclude each other");

    if (options.header_size > PTQ_HEADERS_MAX)
        return tool_misuse("create", "--header-size is at most %d", PTQ_HEADERS_MAX);
    if (options.no_headers && options.header_size > 0)
        return tool_misuse("create", "--header-size and --no-headers exclude each other");
    if (options.max_dead > UINT32_MAX)
        return tool_misuse("create", "--max-dead is too large");
    if (options.ttl == PTQ_FOREVER)
        options.ttl = 0;
    if (options.lease == PTQ_FOREVER)
        options.lease = 0;

    struct ptq_queue_options how = {.mode = options.exclusive ? PTQ_CREATE : PTQ_OPEN_OR_CREATE,
                                    .capacity = options.capacity,
                                    .item_size = (uint32_t)options.item_size,
                                    .max_deliveries = options.unlimited ? PTQ_NEVER : (uint32_t)options.max_deliveries,
                                    .max_endpoints = (uint32_t)options.max_endpoints,
                                    .file_mode = options.mode,
                                    .group = options.group,
                                    .prefault = options.prefault,
                                    .spec = options.spec,
                                    .ephemeral = options.ephemeral,
                                    .bytes = options.bytes,
                                    .header_size = options.no_headers ? PTQ_NEVER : (uint32_t)options.header_size,
                                    .full = (enum ptq_full)options.policy,
                                    .stamps = (enum ptq_stamps)options.stamps,
                                    .ttl_ms = (uint32_t)options.ttl,
                                    .expired_to_dead = options.expired_to_dead,
                                    .lease_ms = (uint32_t)options.lease,
                                    .max_dead = (uint32_t)options.max_dead,
                                    .last_producer_ends = options.last_producer_ends};
    if (strchr(argv[first], '!') != NULL)
        return tool_misuse("create", "%s would be a view of %.*s, which has it as it is: create the queue", argv[first],
                           (int)strcspn(argv[first], "!"), argv[first]);
    int code = open_bus(&bus);
    if (code == TOOL_OK)
        code = open_queue(bus, argv[first], &how, &queue);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return code;
}
