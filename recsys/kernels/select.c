/* The best of scores: by keys that are numbers, a bound from strided parts, and a quickselect. */

#include "select.h"

int64_t index_of_key(uint64_t key) { return (uint32_t)~(uint32_t)key; }

/* Part three or more distinct keys: the larger ones come before the position that is returned,
 * which leaves some on both sides. */
static int64_t parted(uint64_t *keys, int64_t low, int64_t high) {
    uint64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high - 1];
    uint64_t pivot = a > b ? (b > c ? b : a > c ? c : a) : (a > c ? a : b > c ? c : b);
    int64_t i = low - 1, j = high;
    for (;;) {
        while (keys[++i] > pivot);
        while (keys[--j] < pivot);
        if (i >= j) return j + 1;
        uint64_t moved = keys[i];
        keys[i] = keys[j], keys[j] = moved;
    }
}

/* Sort keys, largest first. */
static void sort_falling(uint64_t *keys, int64_t low, int64_t high) {
    while (high - low > 24) {
        int64_t middle = parted(keys, low, high);
        sort_falling(keys, low, middle);
        low = middle;
    }
    for (int64_t i = low + 1; i < high; i++) {
        uint64_t key = keys[i];
        int64_t j = i;
        for (; j > low && keys[j - 1] < key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Bring the `n` largest keys to the front, in any order. */
void select_largest(uint64_t *keys, int64_t size, int64_t n) {
    int64_t low = 0, high = size;
    while (high - low > 24) {
        int64_t middle = parted(keys, low, high);
        if (middle == n) return;
        if (middle < n)
            low = middle;
        else
            high = middle;
    }
    sort_falling(keys, low, high);
}

/* Fill `found` with the best `n` values whose articles are not closed, best first, ties by index;
 * return how many there are. A value that is not finite is never chosen. */
int64_t best_of(const float *values, Closed closed, int64_t n_live, int64_t n, const Space *space,
                Scored *found) {
    enum { BLOCK = 16 };
    const float *open = values; /* what may be chosen */
    float *most = space->most;
    uint64_t *keys = space->keys;
    int64_t size = 0;
    if (n > n_live) n = n_live;
    if (n < 1) return 0;
    if (closed.mask) {
        memcpy(space->open, values, (size_t)n_live * sizeof *values);
        if (closed.articles)
            for (int64_t i = 0; i < closed.n; i++) space->open[closed.articles[i]] = -INFINITY;
        else
            for (int64_t i = 0; i < n_live; i++)
                space->open[i] = closed.mask[i] ? -INFINITY : values[i];
        open = space->open;
    }
    /* Take the best of each of some strided parts: at least n articles reach the n-th largest of
     * those. The parts are strided because articles come in order of time, and so nearly in order
     * of score. */
    float edge = -INFINITY;
    int64_t n_parts = 4 * n < n_live / 16 ? 4 * n : n_live / 16;
    if (n_parts < n + n / 2) n_parts = n + n / 2;
    if (n_live >= 2 * n_parts) {
        for (int64_t i = 0; i < n_parts; i++) /* a NaN or +inf is never the most */
            most[i] = open[i] < INFINITY ? open[i] : -INFINITY;
        for (int64_t begin = n_parts; begin + n_parts <= n_live; begin += n_parts)
            for (int64_t i = 0; i < n_parts; i++) {
                float value = open[begin + i] < INFINITY ? open[begin + i] : -INFINITY;
                most[i] = value > most[i] ? value : most[i];
            }
        for (int64_t i = 0; i < n_parts; i++) keys[i] = key_of(most[i], i);
        select_largest(keys, n_parts, n);
        uint64_t least = keys[0];
        for (int64_t i = 1; i < n; i++) least = keys[i] < least ? keys[i] : least;
        edge = most[index_of_key(least)];
    }
    for (int64_t i = 0; i < n_live; i += BLOCK) {
        int64_t end = i + BLOCK < n_live ? i + BLOCK : n_live;
        if (end - i == BLOCK) { /* most blocks have nothing as good */
            int any = 0;
            for (int j = 0; j < BLOCK; j++) any |= open[i + j] >= edge;
            if (!any) continue;
        }
        for (int64_t j = i; j < end; j++) {
            keys[size] = key_of(open[j], j);
            size += open[j] >= edge && open[j] > -INFINITY && open[j] < INFINITY;
        }
    }
    if (size > n) select_largest(keys, size, n), size = n;
    sort_falling(keys, 0, size);
    for (int64_t i = 0; i < size; i++) {
        int64_t article = index_of_key(keys[i]);
        found[i] = (Scored){open[article] + 0.0f, article};
    }
    return size;
}

/* Return whether there was memory. */
int space_opened(Space *space, int64_t n_live) {
    size_t n = (size_t)n_live + 1; /* one more: a key is written before it is known to stay */
    space->open = malloc(n * sizeof *space->open);
    space->most = malloc(n * sizeof *space->most);
    space->keys = malloc(n * sizeof *space->keys);
    return space->open && space->most && space->keys;
}

void space_closed(Space *space) { free(space->open), free(space->most), free(space->keys); }

/* The best `n` of each row: articles (-1 where a row has no more) and values (-inf). */
int recsys_tops(const float *scores, int64_t n_rows, int64_t n_live, int64_t n, int64_t *articles,
                float *values) {
    Space space;
    Scored *found = malloc((size_t)(n + 1) * sizeof *found);
    int ready = space_opened(&space, n_live) && found;
    for (int64_t row = 0; ready && row < n_rows; row++) {
        int64_t size = best_of(scores + row * n_live, (Closed){0}, n_live, n, &space, found);
        for (int64_t i = 0; i < n; i++) {
            articles[row * n + i] = i < size ? found[i].article : -1;
            values[row * n + i] = i < size ? found[i].value : -INFINITY;
        }
    }
    space_closed(&space), free(found);
    return ready ? DONE : NO_MEMORY;
}
