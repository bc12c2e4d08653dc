/* The state of a user for pages: the profile that a run keeps, and the clicks since. */

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Solve A x = b for a symmetric positive definite A by A = L D L'; b becomes x. Only the lower half
 * of A (n x n) is read; it is overwritten. Return whether A is positive definite. */
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

/* Fold clicks into factors: recsys/blend/linear.py, `fold_in`, says how. */
int recsys_fold_in(const float *before, const float *clicked, int64_t n_clicks, const float *gram,
                   int64_t n, double confidence, float *after) {
    double *left = malloc((size_t)(n * n + 2 * n + 1) * sizeof *left);
    if (!left) return NO_MEMORY;
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
    return DONE;
}

enum { HEAD = 20 }; /* bytes before the arrays of a profile: see recsys/blend/profiles.py */

/* Return the live index of a known article, -1 if it is not live or not known. */
static int64_t live_index_of(const UserModel *model, int64_t known) {
    return known >= 0 && known < model->n_known ? model->live_index_of[known] : -1;
}

/* Insert a number into ascending ones unless it is there; return whether it was inserted. */
static int insert(int64_t *ascending, int64_t n, int64_t value) {
    int64_t at = n;
    while (at > 0 && ascending[at - 1] > value) at--;
    if (at > 0 && ascending[at - 1] == value) return 0;
    memmove(ascending + at + 1, ascending + at, (size_t)(n - at) * sizeof *ascending);
    ascending[at] = value;
    return 1;
}

/* Append a read unless it is there, the reads are full, or the run does not know the article;
 * return how many reads there are then. */
static int64_t append(const UserModel *model, int64_t *reads, int64_t n, int64_t known) {
    if (n == model->known_reads || known < 0 || known >= model->n_known) return n;
    for (int64_t i = 0; i < n; i++)
        if (reads[i] == known) return n;
    reads[n] = known;
    return n + 1;
}

/* Return whether the sizes in a packed profile fit its length; fill in the lengths of its reads,
 * read articles and exposed articles. */
static int is_whole(const UserModel *model, const uint8_t *packed, int64_t size, int32_t *n_of) {
    if (size < HEAD) return 0;
    memcpy(n_of, packed + 8, 3 * sizeof *n_of);
    int64_t least = HEAD;
    for (int i = 0; i < 3; i++) {
        if (n_of[i] < 0) return 0;
        least += 4 * (int64_t)n_of[i];
    }
    least += 4 * (model->n_counts * (int64_t)n_of[2] + model->n_factors);
    /* A profile knows nothing of the sections that came after it. */
    return size % 4 == 0 && size >= least && size <= least + 4 * model->n_categories;
}

/* Make the state of a user from a packed profile (empty for an anonymous user) and clicks since,
 * oldest first. `side` takes factors and section tastes; `found` takes the number of reads and of
 * read articles, then those: recsys/kernels/users.py says how long it is. */
int recsys_user_state(const UserModel *model, const uint8_t *packed, int64_t size,
                      const int64_t *clicks, int64_t n_clicks, float *side, int64_t *found) {
    int32_t n_of[3] = {0}; /* reads, read articles, exposed articles */
    if (size && !is_whole(model, packed, size, n_of)) return DAMAGED;
    int64_t n_features = model->n_factors + model->n_categories;
    int64_t n_reads = 0, n_read = 0, n_unseen = 0;
    int64_t *reads = found + 2, *read = reads + model->known_reads;
    const uint8_t *at = packed + HEAD;
    memset(side, 0, (size_t)n_features * sizeof *side);
    for (int64_t i = n_clicks; i-- > 0;) n_reads = append(model, reads, n_reads, clicks[i]);
    for (int64_t i = 0; i < n_of[0]; i++, at += 4) {
        int32_t known;
        memcpy(&known, at, 4);
        n_reads = append(model, reads, n_reads, known);
    }
    for (int64_t i = 0; i < n_of[1]; i++, at += 4) {
        int32_t known;
        memcpy(&known, at, 4);
        int64_t article = live_index_of(model, known);
        if (article >= 0) n_read += insert(read, n_read, article);
    }
    if (size) {
        at += 4 * (int64_t)n_of[2] * (1 + model->n_counts);
        memcpy(side, at, (size_t)(packed + size - at));
        for (int64_t i = 0; i < n_features; i++)
            if (!(fabsf(side[i]) <= LARGEST)) return DAMAGED; /* NaN is damage too */
    }
    if (n_clicks) {
        size_t n_bytes = (size_t)model->n_factors * sizeof(float);
        float *clicked = malloc((size_t)(n_clicks + 1) * n_bytes + 1), *after = clicked;
        if (!clicked) return NO_MEMORY;
        after += n_clicks * model->n_factors;
        for (int64_t i = 0; i < n_clicks; i++) { /* a read that the profile knows is not learned twice */
            int64_t article = live_index_of(model, clicks[i]);
            if (article < 0 || !insert(read, n_read, article)) continue;
            n_read++;
            memcpy(clicked + n_unseen++ * model->n_factors,
                   model->factors + article * model->n_factors, n_bytes);
        }
        int status = recsys_fold_in(side, clicked, n_unseen, model->gram, model->n_factors,
                                    model->confidence, after);
        for (int64_t i = 0; i < model->n_factors; i++)
            if (!isfinite(after[i])) after[i] = side[i];
        memcpy(side, after, n_bytes);
        free(clicked);
        if (status) return status;
    }
    memmove(reads + n_reads, read, (size_t)n_read * sizeof *read); /* end to end */
    found[0] = n_reads, found[1] = n_read;
    return DONE;
}
