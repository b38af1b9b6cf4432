/* thumbnails.c -- small copies of all JPEG pictures of a folder, by a pipeline of three stages, told in the order of their names.
 *
 *     ./thumbnails FOLDER INTO [PIXELS]
 *
 *     read and decode x 2  ->  scale x 2  ->  encode and write x 1
 *
 * A picture that cannot be read is told in its place.  Whoever is killed, each picture is written once and whole: under another name first.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>

#include <ptq/ptq.h>

enum { PATH_MOST = 1024, PIXELS_MOST = 512, DECODED_MOST = 32 << 20 };

/* What goes from stage to stage. */
struct picture {
    uint32_t width, height;           /* of `rgb`; 0: it is not decoded yet */
    uint32_t old_width, old_height;
    uint32_t most;                    /* pixels of the longer side that is wanted */
    char from[PATH_MOST], to[PATH_MOST];
    unsigned char rgb[];              /* rows of three bytes a pixel */
};

static size_t size_of(const struct picture *picture)
{
    return offsetof(struct picture, rgb) + (size_t)3 * picture->width * picture->height;
}

/* libjpeg tells errors by a call that must not return. */
struct trouble {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
};

static void jump_back(j_common_ptr about)
{
    struct trouble *trouble = (struct trouble *)about->err;
    about->err->format_message(about, trouble->text);
    longjmp(trouble->back, 1);
}

static void say_nothing(j_common_ptr about) { (void)about; }

static struct jpeg_error_mgr *manage(struct trouble *trouble)
{
    jpeg_std_error(&trouble->manager)->error_exit = jump_back;
    trouble->manager.output_message = say_nothing;
    return &trouble->manager;
}

/* -- read and decode ------------------------------------------------------------------------------------------ */

/* libjpeg halves pictures while it decodes them, for less than nothing: down to twice what is wanted. */
static void choose_scale(struct jpeg_decompress_struct *jpeg, uint32_t most)
{
    uint32_t longer = jpeg->image_width > jpeg->image_height ? jpeg->image_width : jpeg->image_height;

    jpeg->out_color_space = JCS_RGB;
    jpeg->scale_num = 1;
    for (jpeg->scale_denom = 8; jpeg->scale_denom > 1 && longer / jpeg->scale_denom < 2 * most;)
        jpeg->scale_denom /= 2;
}

/* NULL: trouble->text says why.  free() it. */
static struct picture *read_jpeg(FILE *file, const struct picture *asked, struct trouble *trouble)
{
    struct jpeg_decompress_struct jpeg = {.err = manage(trouble)};
    struct picture *volatile picture = NULL;

    if (setjmp(trouble->back) != 0) {
        jpeg_destroy_decompress(&jpeg);
        free(picture);
        return NULL;
    }
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    (void)jpeg_read_header(&jpeg, TRUE);
    choose_scale(&jpeg, asked->most);
    (void)jpeg_start_decompress(&jpeg);
    struct picture head = {.width = jpeg.output_width, .height = jpeg.output_height, .old_width = jpeg.image_width,
                           .old_height = jpeg.image_height, .most = asked->most};
    picture = size_of(&head) <= DECODED_MOST ? malloc(size_of(&head)) : NULL;
    if (picture == NULL)
        snprintf(trouble->text, sizeof trouble->text, "too large a picture"), longjmp(trouble->back, 1);
    memcpy(picture, asked, offsetof(struct picture, rgb));
    memcpy(picture, &head, offsetof(struct picture, from));
    while (jpeg.output_scanline < jpeg.output_height) {
        unsigned char *row = picture->rgb + (size_t)3 * jpeg.output_width * jpeg.output_scanline;
        (void)jpeg_read_scanlines(&jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(&jpeg);
    if (jpeg.err->num_warnings > 0)
        snprintf(trouble->text, sizeof trouble->text, "the file is damaged"), longjmp(trouble->back, 1);
    jpeg_destroy_decompress(&jpeg);
    return picture;
}

static enum ptq_err decode(ptq_task *task, const void *data, size_t size)
{
    const struct picture *asked = data;
    struct trouble trouble;
    FILE *file = fopen(asked->from, "re");

    (void)size;
    if (file == NULL)
        return ptq_task_fail(task, PTQ_ENOENT, "%s: %s", asked->from, strerror(errno));
    struct picture *picture = read_jpeg(file, asked, &trouble);
    fclose(file);
    if (picture == NULL)
        return ptq_task_fail(task, PTQ_EINVAL, "%s: %s", asked->from, trouble.text);
    enum ptq_err err = ptq_task_output(task, picture, size_of(picture));
    free(picture);
    return err;
}

/* -- scale ---------------------------------------------------------------------------------------------------- */

/* The mean of the pixels that one of the new ones covers. */
static void mix(const struct picture *old, struct picture *new, uint32_t x, uint32_t y)
{
    uint32_t left = (uint32_t)((uint64_t)x * old->width / new->width), right = (uint32_t)((uint64_t)(x + 1) * old->width / new->width);
    uint32_t top = (uint32_t)((uint64_t)y * old->height / new->height), bottom = (uint32_t)((uint64_t)(y + 1) * old->height / new->height);
    uint64_t sum[3] = {0}, count = (uint64_t)(right - left) * (bottom - top);

    for (uint32_t row = top; row < bottom; row++)
        for (uint32_t column = left; column < right; column++)
            for (int colour = 0; colour < 3; colour++)
                sum[colour] += old->rgb[3 * ((size_t)row * old->width + column) + (size_t)colour];
    for (int colour = 0; colour < 3; colour++)
        new->rgb[3 * ((size_t)y * new->width + x) + (size_t)colour] = (unsigned char)((sum[colour] + count / 2) / count);
}

static enum ptq_err scale(ptq_task *task, const void *data, size_t size)
{
    const struct picture *old = data;
    uint32_t longer = old->width > old->height ? old->width : old->height;

    if (longer <= old->most)
        return ptq_task_output(task, data, size); /* it is not made larger */
    struct picture head = {.width = (uint32_t)((uint64_t)old->width * old->most / longer), .height = (uint32_t)((uint64_t)old->height * old->most / longer)};
    head.width += head.width == 0;
    head.height += head.height == 0;
    struct picture *new = malloc(size_of(&head));
    if (new == NULL)
        return PTQ_ENOMEM;
    memcpy(new, old, offsetof(struct picture, rgb));
    new->width = head.width;
    new->height = head.height;
    for (uint32_t y = 0; y < new->height; y++)
        for (uint32_t x = 0; x < new->width; x++)
            mix(old, new, x, y);
    enum ptq_err err = ptq_task_output(task, new, size_of(new));
    free(new);
    return err;
}

/* -- encode and write ----------------------------------------------------------------------------------------- */

static bool write_jpeg(FILE *file, const struct picture *picture, struct trouble *trouble)
{
    struct jpeg_compress_struct jpeg = {.err = manage(trouble)};

    if (setjmp(trouble->back) != 0) {
        jpeg_destroy_compress(&jpeg);
        return false;
    }
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = picture->width;
    jpeg.image_height = picture->height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 85, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        unsigned char *row = (unsigned char *)(uintptr_t)picture->rgb + (size_t)3 * picture->width * jpeg.next_scanline;
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return true;
}

static enum ptq_err store(ptq_task *task, const void *data, size_t size)
{
    const struct picture *picture = data;
    struct trouble trouble = {.text = ""};
    char part[PATH_MOST + 8], line[PATH_MOST + 80];

    (void)size;
    snprintf(part, sizeof part, "%s.part", picture->to);
    FILE *file = fopen(part, "we");
    bool good = file != NULL && write_jpeg(file, picture, &trouble);
    if ((file != NULL && fclose(file) != 0) || !good || rename(part, picture->to) != 0)
        return ptq_task_fail(task, PTQ_ESYS, "%s: %s", part, trouble.text[0] != '\0' ? trouble.text : strerror(errno));
    int length = snprintf(line, sizeof line, "%s %ux%u -> %ux%u\n", strrchr(picture->to, '/') + 1, picture->old_width, picture->old_height,
                          picture->width, picture->height);
    return ptq_task_output(task, line, (size_t)length);
}

/* -- the program ---------------------------------------------------------------------------------------------- */

struct folder {
    struct dirent **names;
    int count, next;
    const char *from, *to;
    uint32_t most;
    bool failed;
};

static int is_jpeg(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static enum ptq_err next_picture(void *user, struct ptq_bytes *ret_input)
{
    static struct picture picture;
    struct folder *folder = user;

    if (folder->next == folder->count)
        return PTQ_END;
    const char *name = folder->names[folder->next++]->d_name;
    picture.most = folder->most;
    int from = snprintf(picture.from, PATH_MOST, "%s/%s", folder->from, name);
    int to = snprintf(picture.to, PATH_MOST, "%s/%s", folder->to, name);
    *ret_input = (struct ptq_bytes){&picture, offsetof(struct picture, rgb)};
    return from < PATH_MOST && to < PATH_MOST ? PTQ_OK : PTQ_EINVAL;
}

static enum ptq_err print_output(void *user, const struct ptq_output *output)
{
    struct folder *folder = user;

    if (output->kind == PTQ_RESULT_ERROR) {
        fflush(stdout);
        fprintf(stderr, "thumbnails: %s\n", output->text);
        folder->failed = true;
        return PTQ_OK;
    }
    return fwrite(output->data, 1, output->size, stdout) == output->size ? PTQ_OK : PTQ_ESYS;
}

static enum ptq_err make_thumbnails(struct folder *folder)
{
    const size_t head = offsetof(struct picture, rgb), small = head + (size_t)3 * PIXELS_MOST * PIXELS_MOST;
    const struct ptq_stage stages[] = {
        {.name = "decode", .workers = 2, .item_size = (uint32_t)head, .output_size = DECODED_MOST + 64},
        {.name = "scale", .workers = 2, .item_size = DECODED_MOST, .output_size = (uint32_t)small + 64},
        {.name = "store", .workers = 1, .item_size = (uint32_t)small, .output_size = PATH_MOST + 200}};
    struct ptq_flow flow = {.source = next_picture, .sink = print_output, .user = folder};
    struct ptq_error error = {0};
    struct ptq_pipeline_options options = {.mode = PTQ_CREATE, .capacity = 8, .window = 8, .ephemeral = true, .error = &error};
    ptq_bus *bus = NULL;
    ptq_pipeline *pipeline = NULL;
    char name[32], why[500] = "";

    snprintf(name, sizeof name, "thumbnails-%d", (int)getpid());
    enum ptq_err err = ptq_bus_open(NULL, &(struct ptq_bus_options){.error = &error}, &bus);
    if (err == PTQ_OK)
        err = ptq_pipeline_open(bus, name, stages, 3, &options, &pipeline);
    if (err == PTQ_OK) {
        err = ptq_pipeline_run(pipeline, &flow);
        if (err != PTQ_OK)
            ptq_pipeline_explain(pipeline, err, why, sizeof why);
        (void)!ptq_pipeline_abort(pipeline);
    }
    if (err != PTQ_OK)
        fprintf(stderr, "thumbnails: %s\n", why[0] != '\0' ? why : error.text[0] != '\0' ? error.text : ptq_strerror(err));
    ptq_pipeline_close(pipeline);
    ptq_bus_close(bus);
    return err;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        ptq_task_fn fn;
    } tasks[] = {{"decode", decode}, {"scale", scale}, {"store", store}};
    struct folder folder = {.most = argc > 3 ? (uint32_t)atoi(argv[3]) : 128};

    for (int i = 0; i < 3; i++)
        if (ptq_task_register(tasks[i].name, tasks[i].fn, NULL) != PTQ_OK)
            return 1;
    ptq_worker_main(argc, argv); /* does not return in a worker */
    if (argc < 3 || argc > 4 || folder.most < 1 || folder.most > PIXELS_MOST) {
        fprintf(stderr, "usage: thumbnails FOLDER INTO [PIXELS]\n");
        return 2;
    }
    folder.from = argv[1];
    folder.to = argv[2];
    folder.count = scandir(folder.from, &folder.names, is_jpeg, alphasort);
    if (folder.count < 0 || (mkdir(folder.to, 0777) != 0 && errno != EEXIST)) {
        fprintf(stderr, "thumbnails: %s: %s\n", folder.count < 0 ? folder.from : folder.to, strerror(errno));
        return 1;
    }
    enum ptq_err err = make_thumbnails(&folder);
    for (int i = 0; i < folder.count; i++)
        free(folder.names[i]);
    free(folder.names);
    return fflush(stdout) != 0 || err != PTQ_OK || folder.failed;
}
