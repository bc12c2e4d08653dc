/* Articles alike in text: sparse products added to dense ones, and the best of each row. Called
 * through text.py.
 */

#include "best.h"

static int by_place(const void *a, const void *b) {
    int64_t one = ((const Scored *)a)->place, other = ((const Scored *)b)->place;
    return (one > other) - (one < other);
}

/* The `n` most alike of each row of a block, columns ascending, none less than `least`.
 * `scores` (n_rows x n_live) holds the products over common terms; those over the others are
 * added from the rows' terms and, of each term, the live articles that have it. */
int recsys_neighbours(float *scores, int64_t n_rows, int64_t n_live, const int64_t *start,
                      const int32_t *term, const float *value, const int64_t *live_start,
                      const int32_t *live_place, const float *live_value, const int64_t *own,
                      int64_t n, float least, int32_t *places, float *values, int64_t *sizes) {
    Space space;
    Scored *found = malloc((size_t)(n + 1) * sizeof *found);
    int ready = opened(&space, n_live) && found;
    for (int64_t row = 0; ready && row < n_rows; row++) {
        float *mine = scores + row * n_live;
        for (int64_t i = start[row]; i < start[row + 1]; i++)
            for (int64_t j = live_start[term[i]]; j < live_start[term[i] + 1]; j++)
                mine[live_place[j]] += value[i] * live_value[j];
        if (own[row] >= 0) mine[own[row]] = -INFINITY; /* nothing is like itself */
        int64_t size = best_of(mine, (Closed){0}, n_live, n, &space, found);
        while (size && found[size - 1].value < least) size--;
        qsort(found, (size_t)size, sizeof *found, by_place);
        for (int64_t i = 0; i < size; i++) {
            places[row * n + i] = (int32_t)found[i].place;
            values[row * n + i] = found[i].value;
        }
        sizes[row] = size;
    }
    shut(&space), free(found);
    return ready ? 0 : -1;
}

/* Mark the `n` largest values of each row, of equal ones the first. */
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
        for (int64_t i = 0; i < size; i++) keep[start[row] + (uint32_t)~(uint32_t)keys[i]] = 1;
    }
    int ready = keys != NULL;
    free(keys);
    return ready ? 0 : -1;
}
