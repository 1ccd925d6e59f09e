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

static void read_sample(FILE *file, const char *path, void *into, unsigned long size)
{
    if (fread(into, 1, size, file) != size) {
        fprintf(stderr, "%s: too short\n", path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static bep_input_t image[BEP_NUM_INPUTS];
    unsigned long count, size, num_labels, label_size, i, correct = 0;
    unsigned char label;
    FILE *images, *labels = NULL;
    clock_t start, spent = 0;
    int found;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s IMAGES [LABELS]\n", argv[0]);
        return 2;
    }
    images = open_idx(argv[1], &count, &size);
    if (size != sizeof image) {
        fprintf(stderr, "%s: images of %lu bytes, the model takes %lu\n", argv[1], size, (unsigned long)sizeof image);
        return 1;
    }
    if (argc == 3) {
        labels = open_idx(argv[2], &num_labels, &label_size);
        if (num_labels != count || label_size != 1) {
            fprintf(stderr, "%s: not the labels of %s\n", argv[2], argv[1]);
            return 1;
        }
    }
    for (i = 0; i < count; i++) {
        read_sample(images, argv[1], image, size);
        start = clock();
        found = bep_predict(image);
        spent += clock() - start;
        if (labels == NULL) {
            printf("%d\n", found);
        } else {
            read_sample(labels, argv[2], &label, 1);
            correct += found == (int)label;
        }
    }
    if (labels != NULL && count > 0)
        printf("%lu of %lu right (%.2f %%), %.1f us an image, %lu bytes of constants\n", correct, count,
            100.0 * (double)correct / (double)count, 1e6 * (double)spent / CLOCKS_PER_SEC / (double)count,
            (unsigned long)BEP_CONST_BYTES);
    fclose(images);
    if (labels != NULL)
        fclose(labels);
    return 0;
}
