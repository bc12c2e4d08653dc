/* A reader, out of what is kept of them and what they have clicked since; and the small systems
 * of equations behind it. Called through readers.py.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Solve A x = b for a symmetric positive definite A (n x n, of which the lower half is read, and
 * used up) by A = L D L'; b becomes x. Return whether A is positive definite. */
static int solve(double *a, double *b, int64_t n, double *column) {
    for (int64_t k = 0; k < n; k++) {
        double pivot = a[k * n + k];
        if (!(pivot > 0.0)) return 0;
        for (int64_t i = k + 1; i < n; i++) column[i] = a[i * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            double times = column[i] / pivot, *row = a + i * n;
            for (int64_t j = k + 1; j <= i; j++) row[j] -= times * column[j];
            row[k] = times;
            b[i] -= times * b[k];
        }
    }
    for (int64_t i = 0; i < n; i++) b[i] /= a[i * n + i];
    for (int64_t i = n; i-- > 0;)
        for (int64_t j = 0; j < i; j++) b[j] -= a[i * n + j] * b[i];
    return 1;
}

/* See recsys.blend.linear.fold_in. */
int recsys_fold_in(const float *before, const float *clicked, int64_t n_clicks, const float *gram,
                   int64_t n, double confidence, float *after) {
    double *left = malloc((size_t)(n * n + 2 * n + 1) * sizeof *left);
    if (!left) return -1;
    double *right = left + n * n, *column = right + n;
    int64_t n_known = 0;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t j = 0; j < n; j++) {
            left[i * n + j] = gram[i * n + j];
            sum += (double)gram[i * n + j] * before[j];
        }
        right[i] = sum;
    }
    for (const float *y = clicked; y < clicked + n_clicks * n; y += n) {
        int known = 0;
        for (int64_t i = 0; i < n; i++) known |= y[i] != 0.0f;
        n_known += known;
        for (int64_t i = 0; known && i < n; i++) {
            double times = (confidence - 1.0) * y[i], *row = left + i * n;
            for (int64_t j = 0; j <= i; j++) row[j] += times * y[j];
            right[i] += confidence * y[i];
        }
    }
    int is_solved = n_known && solve(left, right, n, column);
    for (int64_t i = 0; i < n; i++) after[i] = is_solved ? (float)right[i] : before[i];
    free(left);
    return 0;
}

/* ---- one reader, for pages ----------------------------------------------------------- */

enum { HEAD = 20, DAMAGED = 1 }; /* bytes before a profile's arrays: see recsys/readers.py */

typedef struct { /* what readers are told by */
    int64_t n_known, n_factors, n_categories, n_counts, known_reads;
    const int64_t *place_of; /* n_known: live place, -1 for none */
    const float *factors;    /* n_live x n_factors */
    const float *gram;       /* n_factors x n_factors */
    double confidence;
} Told;

static int64_t place_of(const Told *run, int64_t known) {
    return known >= 0 && known < run->n_known ? run->place_of[known] : -1;
}

/* Put a number among ascending ones, unless it is there; return whether it was not. */
static int insert(int64_t *ascending, int64_t n, int64_t value) {
    int64_t at = n;
    while (at > 0 && ascending[at - 1] > value) at--;
    if (at > 0 && ascending[at - 1] == value) return 0;
    memmove(ascending + at + 1, ascending + at, (size_t)(n - at) * sizeof *ascending);
    ascending[at] = value;
    return 1;
}

/* Append an article, unless it is there, or there are reads enough, or the run knows no such;
 * return how many reads there are then. */
static int64_t append(const Told *run, int64_t *reads, int64_t n, int64_t known) {
    if (n == run->known_reads || known < 0 || known >= run->n_known) return n;
    for (int64_t i = 0; i < n; i++)
        if (reads[i] == known) return n;
    reads[n] = known;
    return n + 1;
}

/* A packed profile's reader (nobody's, if its size is 0) after some clicks, oldest first. `found`
 * takes how many reads and read places there are, then those: see readers.py for its length. */
int recsys_reader(const Told *run, const uint8_t *packed, int64_t size, const int64_t *clicks,
                  int64_t n_clicks, float *side, int64_t *found) {
    int32_t n_of[3] = {0}; /* reads, read, met */
    if (size) {
        if (size < HEAD) return DAMAGED;
        memcpy(n_of, packed + 8, sizeof n_of);
        int64_t least = HEAD, n_met = n_of[2];
        for (int i = 0; i < 3; i++) {
            if (n_of[i] < 0) return DAMAGED;
            least += 4 * (int64_t)n_of[i];
        }
        least += 4 * (run->n_counts * n_met + run->n_factors);
        /* Of sections that came after the profile nothing is known yet. */
        if (size < least || size > least + 4 * run->n_categories) return DAMAGED;
    }
    int64_t n_features = run->n_factors + run->n_categories, n_reads = 0, n_read = 0, n_unseen = 0;
    int64_t *reads = found + 2, *read = reads + run->known_reads;
    const uint8_t *at = packed + HEAD;
    memset(side, 0, (size_t)n_features * sizeof *side);
    for (int64_t i = n_clicks; i-- > 0;) n_reads = append(run, reads, n_reads, clicks[i]);
    for (int64_t i = 0; i < n_of[0]; i++, at += 4) {
        int32_t known;
        memcpy(&known, at, 4);
        n_reads = append(run, reads, n_reads, known);
    }
    for (int64_t i = 0; i < n_of[1]; i++, at += 4) {
        int32_t known;
        memcpy(&known, at, 4);
        int64_t place = place_of(run, known);
        if (place >= 0) n_read += insert(read, n_read, place);
    }
    if (size) {
        at += 4 * (int64_t)n_of[2] * (1 + run->n_counts);
        memcpy(side, at, (size_t)(packed + size - at));
    }
    if (n_clicks) {
        size_t n_bytes = (size_t)run->n_factors * sizeof(float);
        float *clicked = malloc((size_t)(n_clicks + 1) * n_bytes + 1), *after = clicked;
        if (!clicked) return -1;
        after += n_clicks * run->n_factors;
        for (int64_t i = 0; i < n_clicks; i++) { /* what the night knew is not learned twice */
            int64_t place = place_of(run, clicks[i]);
            if (place < 0 || !insert(read, n_read, place)) continue;
            n_read++;
            memcpy(clicked + n_unseen++ * run->n_factors, run->factors + place * run->n_factors, n_bytes);
        }
        int failed = recsys_fold_in(side, clicked, n_unseen, run->gram, run->n_factors,
                                    run->confidence, after);
        memcpy(side, after, n_bytes);
        free(clicked);
        if (failed) return failed;
    }
    memmove(reads + n_reads, read, (size_t)n_read * sizeof *read); /* end to end */
    found[0] = n_reads, found[1] = n_read;
    return 0;
}
