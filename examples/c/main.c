/* Classifies the images of an uncompressed idx file with an exported MLP:
 *
 *     ./classify IMAGES [LABELS]
 *
 * Prints one class per line, or, with labels, the accuracy and the time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"

/* Reads the header of an idx file of bytes: the number of samples, and the bytes of one. */
static FILE *open_idx(const char *path, unsigned long *count, unsigned long *size)
{
    unsigned char head[4], length[4];
    unsigned long value;
    int axis;
    FILE *file = fopen(path, "rb");
    *count = 0;
    *size = 1;
    if (file == NULL || fread(head, 1, 4, file) != 4 || head[0] != 0 || head[1] != 0 || head[2] != 8) {
        fprintf(stderr, "%s: not an idx file of bytes (is it still compressed? try gunzip)\n", path);
        exit(1);
    }
    for (axis = 0; axis < head[3]; axis++) {
        if (fread(length, 1, 4, file) != 4) {
            fprintf(stderr, "%s: too short\n", path);
            exit(1);
        }
        value = (unsigned long)length[0] << 24 | (unsigned long)length[1] << 16 | (unsigned long)length[2] << 8
            | (unsigned long)length[3];
        if (axis == 0)
            *count = value;
        else
            *size *= value;
    }
    return file;
}

/* Reads what follows the header. */
static void *read_samples(FILE *file, const char *path, unsigned long bytes)
{
    void *samples = malloc(bytes ? bytes : 1);
    if (samples == NULL || fread(samples, 1, bytes, file) != bytes) {
        fprintf(stderr, "%s: too short, or too large\n", path);
        exit(1);
    }
    fclose(file);
    return samples;
}

int main(int argc, char **argv)
{
    unsigned long count, size, num_labels, label_size, i, correct = 0;
    bep_input_t *images;
    unsigned char *labels;
    int *found;
    clock_t spent;
    FILE *image_file, *label_file = NULL;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s IMAGES [LABELS]\n", argv[0]);
        return 2;
    }
    image_file = open_idx(argv[1], &count, &size);
    if (size != BEP_NUM_INPUTS * sizeof *images) {
        fprintf(stderr, "%s: images of %lu bytes, the model takes %lu\n", argv[1], size,
            (unsigned long)(BEP_NUM_INPUTS * sizeof *images));
        return 1;
    }
    if (argc == 3) {
        label_file = open_idx(argv[2], &num_labels, &label_size);
        if (num_labels != count || label_size != 1) {
            fprintf(stderr, "%s: not the labels of %s\n", argv[2], argv[1]);
            return 1;
        }
    }
    images = read_samples(image_file, argv[1], count * size);
    found = malloc((count + 1) * sizeof *found);
    if (found == NULL)
        return 1;

    spent = clock();
    for (i = 0; i < count; i++)
        found[i] = bep_predict(images + BEP_NUM_INPUTS * i);
    spent = clock() - spent;

    if (label_file == NULL) {
        for (i = 0; i < count; i++)
            printf("%d\n", found[i]);
    } else {
        labels = read_samples(label_file, argv[2], count);
        for (i = 0; i < count; i++)
            correct += found[i] == (int)labels[i];
        printf("%lu of %lu right (%.2f %%), %.1f us an image, %lu bytes of constants\n", correct, count,
            100.0 * (double)correct / (double)(count + !count),
            1e6 * (double)spent / CLOCKS_PER_SEC / (double)(count + !count), (unsigned long)BEP_CONST_BYTES);
        free(labels);
    }
    free(images);
    free(found);
    return 0;
}
