/* Articles alike in text: sparse products added to dense ones, and the best of each row. */

#include "select.h"

static int by_article(const void *a, const void *b) {
    int64_t one = ((const Scored *)a)->article, other = ((const Scored *)b)->article;
    return (one > other) - (one < other);
}

/* Find the `n` live articles most alike to each row of a block, none less than `least`, in
 * ascending order. `scores` (n_rows x n_live) holds the products over common terms; the products
 * over the other terms are added here, from the terms of each row and the live articles that have
 * each term. */
int recsys_neighbours(float *scores, int64_t n_rows, int64_t n_live, const int64_t *start,
                      const int32_t *term, const float *value, const int64_t *live_start,
                      const int32_t *live_article, const float *live_value, const int64_t *own,
                      int64_t n, float least, int32_t *articles, float *values, int64_t *sizes) {
    Space space;
    Scored *found = malloc((size_t)(n + 1) * sizeof *found);
    int ready = space_opened(&space, n_live) && found;
    for (int64_t row = 0; ready && row < n_rows; row++) {
        float *mine = scores + row * n_live;
        for (int64_t i = start[row]; i < start[row + 1]; i++)
            for (int64_t j = live_start[term[i]]; j < live_start[term[i] + 1]; j++)
                mine[live_article[j]] += value[i] * live_value[j];
        if (own[row] >= 0) mine[own[row]] = -INFINITY; /* an article is not compared with itself */
        int64_t size = best_of(mine, (Closed){0}, n_live, n, &space, found);
        while (size && found[size - 1].value < least) size--;
        qsort(found, (size_t)size, sizeof *found, by_article);
        for (int64_t i = 0; i < size; i++) {
            articles[row * n + i] = (int32_t)found[i].article;
            values[row * n + i] = found[i].value;
        }
        sizes[row] = size;
    }
    space_closed(&space), free(found);
    return ready ? DONE : NO_MEMORY;
}

/* Mark the `n` largest values of each row; of equal values the first. */
int recsys_heaviest(const int64_t *start, const float *value, int64_t n_rows, int64_t n,
                    uint8_t *keep) {
    int64_t longest = 1;
    for (int64_t row = 0; row < n_rows; row++)
        if (start[row + 1] - start[row] > longest) longest = start[row + 1] - start[row];
    uint64_t *keys = malloc((size_t)longest * sizeof *keys);
    for (int64_t row = 0; keys && row < n_rows; row++) {
        const float *mine = value + start[row];
        int64_t size = start[row + 1] - start[row];
        for (int64_t i = 0; i < size; i++) keys[i] = key_of(mine[i], i);
        if (size > n) select_largest(keys, size, n), size = n;
        for (int64_t i = 0; i < size; i++) keep[start[row] + index_of_key(keys[i])] = 1;
    }
    int ready = keys != NULL;
    free(keys);
    return ready ? DONE : NO_MEMORY;
}
