/* The best of scores, for whoever has some. */

#ifndef BEST_H
#define BEST_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    float value;
    int64_t place;
} Scored;

/* A score and its place as one number, which rises with the score and, of equal ones, falls
 * with the place: a float's bits rise with its value, but for the sign. */
static uint64_t key_of(float value, int64_t place) {
    uint32_t bits;
    value += 0.0f; /* -0.0 is 0.0 */
    memcpy(&bits, &value, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~(uint32_t)place;
}

/* Part three keys or more, no two alike: the larger ones come to stand before the place that
 * is returned, which leaves some on both sides. */
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

/* Bring the `n` largest of some keys to the front, in any order. */
static void select_largest(uint64_t *keys, int64_t size, int64_t n) {
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

typedef struct { /* what must not be shown: all marked, and, where they are known, listed */
    const uint8_t *mask; /* n_live, or NULL for nothing */
    const int64_t *places;
    int64_t n;
} Closed;

typedef struct { /* of one thread's work on one list */
    float *open;    /* n_live: values, -inf for what is closed */
    float *most;    /* n_live */
    uint64_t *keys; /* n_live */
} Space;

/* Fill `found` with the best `n` of some values that are not closed (marked, or listed), best
 * first, ties by place; return how many there are. What is -inf or no number is never chosen. */
static int64_t best_of(const float *values, Closed closed, int64_t n_live, int64_t n,
                       const Space *space, Scored *found) {
    enum { BLOCK = 16 };
    const float *open = values; /* what may be chosen */
    float *most = space->most;
    uint64_t *keys = space->keys;
    int64_t size = 0;
    if (n > n_live) n = n_live;
    if (n < 1) return 0;
    if (closed.mask) {
        memcpy(space->open, values, (size_t)n_live * sizeof *values);
        if (closed.places)
            for (int64_t i = 0; i < closed.n; i++) space->open[closed.places[i]] = -INFINITY;
        else
            for (int64_t i = 0; i < n_live; i++)
                space->open[i] = closed.mask[i] ? -INFINITY : values[i];
        open = space->open;
    }
    /* Of strided parts the best of each: what the n-th of those is, n of all reach at least.
     * Strided, for articles stand in order of time, and so nearly in order of score. */
    float edge = -INFINITY;
    int64_t n_parts = 4 * n < n_live / 16 ? 4 * n : n_live / 16;
    if (n_parts < n + n / 2) n_parts = n + n / 2;
    if (n_live >= 2 * n_parts) {
        for (int64_t i = 0; i < n_parts; i++) /* what is no number is never the most */
            most[i] = open[i] > -INFINITY ? open[i] : -INFINITY;
        for (int64_t begin = n_parts; begin + n_parts <= n_live; begin += n_parts)
            for (int64_t i = 0; i < n_parts; i++)
                most[i] = open[begin + i] > most[i] ? open[begin + i] : most[i];
        for (int64_t i = 0; i < n_parts; i++) keys[i] = key_of(most[i], i);
        select_largest(keys, n_parts, n);
        uint64_t least = keys[0];
        for (int64_t i = 1; i < n; i++) least = keys[i] < least ? keys[i] : least;
        edge = most[(uint32_t)~(uint32_t)least];
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
            size += open[j] >= edge && open[j] > -INFINITY;
        }
    }
    if (size > n) select_largest(keys, size, n), size = n;
    sort_falling(keys, 0, size);
    for (int64_t i = 0; i < size; i++) {
        int64_t place = (uint32_t)~(uint32_t)keys[i];
        found[i] = (Scored){open[place] + 0.0f, place};
    }
    return size;
}

static int opened(Space *space, int64_t n_live) {
    size_t n = (size_t)n_live + 1; /* one more: a key is written before it is known to stay */
    space->open = malloc(n * sizeof *space->open);
    space->most = malloc(n * sizeof *space->most);
    space->keys = malloc(n * sizeof *space->keys);
    return space->open && space->most && space->keys;
}

static void shut(Space *space) { free(space->open), free(space->most), free(space->keys); }

#endif
