/* jpegs.c -- pictures for a test, and what a picture shows.
 *
 *     jpegs make FILE WIDTH HEIGHT RED GREEN BLUE   one colour, darker by half in the lower half
 *     jpegs look FILE                               "WIDTHxHEIGHT", and the colour in the middle of the upper and of the lower half
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static int make(char **argv)
{
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct jpeg = {.err = jpeg_std_error(&errors)};
    FILE *file = fopen(argv[0], "w");
    int width = atoi(argv[1]), height = atoi(argv[2]);
    unsigned char *row = malloc((size_t)width * 3);
    if (file == NULL || row == NULL)
        return 1;
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < 3 * width; x++)
            row[x] = (unsigned char)(atoi(argv[3 + x % 3]) / (2 * y < height ? 1 : 2));
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return fclose(file) != 0;
}

static int look(const char *path)
{
    struct jpeg_error_mgr errors;
    struct jpeg_decompress_struct jpeg = {.err = jpeg_std_error(&errors)};
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 1;
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, file);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    printf("%ux%u", jpeg.output_width, jpeg.output_height);
    unsigned char *row = malloc((size_t)jpeg.output_width * 3);
    for (JDIMENSION y = 0; row != NULL && y < jpeg.output_height; y++) {
        jpeg_read_scanlines(&jpeg, &row, 1);
        const unsigned char *at = row + (size_t)3 * (jpeg.output_width / 2);
        if (y == jpeg.output_height / 4 || y == 3 * jpeg.output_height / 4)
            printf(" %d %d %d", at[0], at[1], at[2]);
    }
    putchar('\n');
    free(row);
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return fclose(file) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "make") == 0)
        return make(argv + 2);
    return argc == 3 && strcmp(argv[1], "look") == 0 ? look(argv[2]) : 2;
}
