/* The best of scores. Used inside the kernels only. */

#ifndef RECSYS_SELECT_H
#define RECSYS_SELECT_H

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    float value;
    int64_t article;
} Scored;

typedef struct { /* memory for one thread's work on one list */
    float *open;    /* n_live: values, -inf for closed articles */
    float *most;    /* n_live */
    uint64_t *keys; /* n_live */
} Space;

/* Return a score and its index as one number. It rises with the score and, for equal scores, falls
 * with the index: the bits of a float rise with its value, apart from the sign. */
static inline uint64_t key_of(float value, int64_t index) {
    uint32_t bits;
    value += 0.0f; /* -0.0 is 0.0 */
    memcpy(&bits, &value, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)bits << 32 | (uint32_t)~(uint32_t)index;
}

int64_t index_of_key(uint64_t key);
void select_largest(uint64_t *keys, int64_t size, int64_t n);
int64_t best_of(const float *values, Closed closed, int64_t n_live, int64_t n, const Space *space,
                Scored *found);
int space_opened(Space *space, int64_t n_live);
void space_closed(Space *space);

#endif
