/* Millions of clicks: loops that numpy can only do by sorting. Called through clicks.py. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* What these sources were when they were compiled: see hatch_build.py. */
const char *recsys_source(void) { return SOURCE_DIGEST; }

/* Mark the last (or, for `first`, the first) click of each reader on each article; clicks are
 * taken reader by reader, in the order they stand. */
int recsys_one_of_pair(const int64_t *user, const int64_t *article, int64_t n, int64_t n_users,
                       int64_t n_articles, int first, uint8_t *keep) {
    int64_t *start = calloc((size_t)n_users + 2, sizeof *start);
    int64_t *order = malloc((size_t)(n + 1) * sizeof *order);
    int64_t *met = malloc((size_t)(n_articles + 1) * sizeof *met); /* whom each article met last */
    int ready = start && order && met;
    if (ready) {
        for (int64_t i = 0; i < n; i++) start[user[i] + 2]++;
        for (int64_t u = 2; u < n_users + 2; u++) start[u] += start[u - 1];
        for (int64_t i = 0; i < n; i++) order[start[user[i] + 1]++] = i;
        for (int64_t a = 0; a < n_articles; a++) met[a] = -1;
        for (int64_t i = 0; i < n; i++) { /* from either end, readers stay together */
            int64_t click = order[first ? i : n - 1 - i];
            keep[click] = met[article[click]] != user[click];
            met[article[click]] = user[click];
        }
    }
    free(start), free(order), free(met);
    return ready ? 0 : -1;
}

/* The decayed count of its key right after each event; events stand key by key, in order of
 * time, and `begins` marks the first of each key. */
void recsys_running(const int64_t *ms, const uint8_t *begins, int64_t n, double half_life_ms,
                    double *count) {
    for (int64_t i = 0; i < n; i++)
        count[i] = 1.0 + (begins[i] ? 0.0
                                    : count[i - 1] * exp2(-(double)(ms[i] - ms[i - 1]) / half_life_ms));
}
