/* Loops over millions of clicks that numpy can only do by sorting. */

#include "kernels.h"

#include <math.h>
#include <stdlib.h>

/* Return the digest of the sources that were compiled: see hatch_build.py. */
const char *recsys_source_digest(void) { return SOURCE_DIGEST; }

/* Mark the last (or, with `first`, the first) click of each user on each article, in the given
 * order of clicks. Clicks are taken user by user, by a counting sort. */
int recsys_one_of_pair(const int64_t *user, const int64_t *article, int64_t n, int64_t n_users,
                       int64_t n_articles, int first, uint8_t *keep) {
    int64_t *start = calloc((size_t)n_users + 2, sizeof *start);
    int64_t *order = malloc((size_t)(n + 1) * sizeof *order);
    int64_t *last_user = malloc((size_t)(n_articles + 1) * sizeof *last_user); /* of each article */
    int ready = start && order && last_user;
    if (ready) {
        for (int64_t i = 0; i < n; i++) start[user[i] + 2]++;
        for (int64_t u = 2; u < n_users + 2; u++) start[u] += start[u - 1];
        for (int64_t i = 0; i < n; i++) order[start[user[i] + 1]++] = i;
        for (int64_t a = 0; a < n_articles; a++) last_user[a] = -1;
        for (int64_t i = 0; i < n; i++) { /* from either end, users stay together */
            int64_t click = order[first ? i : n - 1 - i];
            keep[click] = last_user[article[click]] != user[click];
            last_user[article[click]] = user[click];
        }
    }
    free(start), free(order), free(last_user);
    return ready ? DONE : NO_MEMORY;
}

/* Compute the decayed count of each event's key right after the event. Events come key by key, in
 * order of time; `begins` marks the first event of each key. */
void recsys_running_counts(const int64_t *event_ms, const uint8_t *begins, int64_t n,
                           double half_life_ms, double *count) {
    for (int64_t i = 0; i < n; i++) {
        count[i] = 1.0;
        if (i && !begins[i])
            count[i] += count[i - 1] * exp2(-(double)(event_ms[i] - event_ms[i - 1]) / half_life_ms);
    }
}
