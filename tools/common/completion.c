/* completion.c -- the option tables as bash completion: commands, option names, the words of choices, queues. */
#include <string.h>

#include "common/option.h"

static void print_words(const struct tool_option *options, FILE *out)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++)
        fprintf(out, " --%s", option->name);
}

static void print_choices(const struct tool_option *options, const char *command, FILE *out)
{
    for (const struct tool_option *option = options; option != NULL && option->name != NULL; option++) {
        if (option->kind != TOOL_CHOICE && option->kind != TOOL_FORMAT)
            continue;
        fprintf(out, "        '%s --%s'", command, option->name);
        if (option->letter != 0)
            fprintf(out, "|'%s -%c'", command, option->letter);
        fputs(") COMPREPLY=($(compgen -W '", out);
        const char *end = option->kind == TOOL_FORMAT ? strrchr(option->argument, '|') : option->argument + strlen(option->argument);
        for (const char *c = option->argument; c < end; c++)
            fputc(*c == '|' ? ' ' : *c, out);
        fputs("' -- \"$word\")); return ;;\n", out);
    }
}

static void print_globals_skip(FILE *out)
{
    for (const struct tool_option *option = tool_program.globals; option->name != NULL; option++)
        if (option->kind != TOOL_FLAG)
            fprintf(out, "            --%s) skip=1 ;;\n", option->name);
}

static bool same_first_word(const char *one, const char *other)
{
    size_t length = strcspn(one, " ");

    return length == strcspn(other, " ") && strncmp(one, other, length) == 0;
}

/* Is it the first of those whose names begin with its first word? */
static bool is_first(const struct tool_usage *const *usages, const struct tool_usage *const *usage)
{
    return usage == usages || !same_first_word(usage[-1]->name, usage[0]->name);
}

static void print_first_words(const struct tool_usage *const *usages, FILE *out)
{
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++)
        if (is_first(usages, usage))
            fprintf(out, " %.*s", (int)strcspn((*usage)->name, " "), (*usage)->name);
}

static void print_second_words(const struct tool_usage *const *usages, const char *first, FILE *out)
{
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++)
        if (same_first_word((*usage)->name, first))
            fprintf(out, "%s", (*usage)->name + strcspn(first, " "));
}

/* Finds the command on the line, of one or two words. */
static void print_find_command(const struct tool_usage *const *usages, FILE *out)
{
    fputs("    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        [[ $skip ]] && { skip=; continue; }\n"
          "        case ${COMP_WORDS[i]} in\n",
          out);
    print_globals_skip(out);
    fputs("            -*) ;;\n"
          "            *) command=${COMP_WORDS[i]}; break ;;\n"
          "        esac\n"
          "    done\n"
          "    if [[ ! $command && $word != -* ]]; then\n"
          "        COMPREPLY=($(compgen -W '",
          out);
    print_first_words(usages, out);
    fputs("' -- \"$word\")); return\n"
          "    fi\n"
          "    case $command in\n",
          out);
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++) {
        const char *name = (*usage)->name;
        if (strchr(name, ' ') == NULL || !is_first(usages, usage))
            continue;
        fprintf(out, "        %.*s) ((i + 1 == COMP_CWORD)) && { COMPREPLY=($(compgen -W '", (int)strcspn(name, " "), name);
        print_second_words(usages, name, out);
        fputs("' -- \"$word\")); return; }\n"
              "            command=\"$command ${COMP_WORDS[i+1]}\" ;;\n",
              out);
    }
    fputs("    esac\n", out);
}

static void print_option_names(const struct tool_usage *const *usages, FILE *out)
{
    fputs("    if [[ $word == -* ]]; then\n"
          "        case $command in\n",
          out);
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++) {
        fprintf(out, "            '%s') COMPREPLY=($(compgen -W '--help", (*usage)->name);
        print_words((*usage)->options, out);
        if (tool_program.globals != (*usage)->options)
            print_words(tool_program.globals, out);
        fputs("' -- \"$word\")) ;;\n", out);
    }
    fputs("            *) COMPREPLY=($(compgen -W '--help", out);
    print_words(tool_program.globals, out);
    fputs("' -- \"$word\")) ;;\n"
          "        esac\n"
          "        return\n"
          "    fi\n",
          out);
}

/* How the names are listed that an operand stands for. */
static const struct {
    const char *operand, *list;
} name_lists[] = {{"SHARE", "share ls"}, {"LOG", "log ls"}, {"POOL", "ls"}, {"QUEUE", "ls"}, {"GLOB", "ls"}};

/* Each command's names by the first of its operands that has some: of the bus that stands on the line. */
static void print_names(const struct tool_usage *const *usages, FILE *out)
{
    fputs("    local buses=() words list='ls' filter=cat\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in --run|--dir) buses+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\") ;; esac\n"
          "    done\n"
          "    case $command in\n"
          "        record) [[ ${COMP_WORDS[COMP_CWORD-2]} == record ]] && { COMPREPLY=($(compgen -f -- \"$word\")); return; } ;;\n"
          "        replay) [[ $before == replay ]] && { COMPREPLY=($(compgen -f -- \"$word\")); return; } ;;\n"
          "    esac\n"
          "    case $command in\n",
          out);
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++)
        for (size_t i = 0; i < sizeof name_lists / sizeof name_lists[0]; i++) {
            if (strstr((*usage)->operands, name_lists[i].operand) == NULL)
                continue;
            fprintf(out, "        '%s') list='%s'%s ;;\n", (*usage)->name, name_lists[i].list,
                    strcmp(name_lists[i].operand, "POOL") == 0 ? " filter=\"sed -n s/[.]jobs$//p\"" : "");
            break;
        }
    fputs("    esac\n"
          "    words=$(ptq \"${buses[@]}\" $list 2>/dev/null | $filter)\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n",
          out);
}

void tool_completion(const struct tool_usage *const *usages, FILE *out)
{
    const char *name = tool_program.name;

    fprintf(out, "# bash completion for %s\n_%s() {\n", name, name);
    fputs("    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i=0 skip=\n"
          "    COMPREPLY=()\n",
          out);
    if (tool_program.commands)
        print_find_command(usages, out);
    else
        fprintf(out, "    command=%s\n", name);
    fputs("    case \"$command $before\" in\n", out);
    for (const struct tool_usage *const *usage = usages; *usage != NULL; usage++)
        print_choices((*usage)->options, (*usage)->name, out);
    fputs("        *' --dir') COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n"
          "        'put --file'|'put -f') COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
          "    esac\n",
          out);
    print_option_names(usages, out);
    print_names(usages, out);
    fprintf(out, "}\ncomplete -o default -F _%s %s\n", name, name);
}
