/* The score of one article for many users, out of their packed profiles. */

#include "kernels.h"

#include <math.h>
#include <stdlib.h>

/* Return the inner product of the article's vector and the direction of some reads by vectors; 0 if
 * no read has a vector. `total` has n_dimensions numbers. */
static double product_with_taste(const ScoredArticle *of, const int64_t *reads, int64_t n_reads,
                                 double *total) {
    double product = 0.0, square = 0.0;
    for (int64_t f = 0; f < of->n_dimensions; f++) total[f] = 0.0;
    for (int64_t j = 0; j < n_reads; j++) {
        const float *read = of->vectors + reads[j] * of->n_dimensions;
        for (int64_t f = 0; f < of->n_dimensions; f++) total[f] += (double)read[f];
    }
    for (int64_t f = 0; f < of->n_dimensions; f++) {
        product += total[f] * of->vector[f];
        square += total[f] * total[f];
    }
    return square > 0 ? product / sqrt(square) : 0.0;
}

/* Score an article for users, whose profiles lie end to end in `packed`, that of user i from
 * start[i] on. A score is -inf for a user who is left out, and NaN for a damaged profile.
 *
 * The sums are of doubles and in one order, so that a score depends on nothing but the user and the
 * article, and equal users have equal scores. */
int recsys_article_scores(const UserModel *model, const ScoredArticle *of, const uint8_t *packed,
                          const int64_t *start, int64_t n_users, double *scores) {
    int64_t largest = 0;
    for (int64_t i = 0; i < n_users; i++)
        if (start[i + 1] - start[i] > largest) largest = start[i + 1] - start[i];
    float *side = malloc((size_t)(of->n_features + 1) * sizeof *side);
    int64_t *found = malloc((size_t)(2 + model->known_reads + largest / 4) * sizeof *found);
    double *total = malloc((size_t)(of->n_dimensions + 1) * sizeof *total);
    int status = side && found && total ? DONE : NO_MEMORY;
    for (int64_t i = 0; i < n_users && status == DONE; i++) {
        int64_t size = start[i + 1] - start[i];
        /* No profile is empty; to `recsys_user_state` an empty one is an anonymous user. */
        int of_user = size ? recsys_user_state(model, packed + start[i], size, NULL, 0, side, found)
                           : DAMAGED;
        if (of_user == DAMAGED) {
            scores[i] = NAN;
            continue;
        }
        status = of_user;
        int64_t n_reads = found[0], n_read = found[1];
        const int64_t *reads = found + 2, *read = reads + n_reads;
        int is_left_out = 0;
        for (int64_t j = 0; j < n_read; j++) is_left_out |= of->excludes[read[j]];
        double score = of->fixed + of->activity[n_read];
        for (int64_t f = 0; f < of->n_features; f++) score += (double)of->side[f] * side[f];
        int64_t n_recent = n_reads < of->recent_reads ? n_reads : of->recent_reads;
        const float *weight = of->recent_weight + n_recent * of->recent_reads;
        for (int64_t j = 0; j < n_recent; j++) score += (double)weight[j] * of->text[reads[j]];
        score += product_with_taste(of, reads, n_reads, total);
        scores[i] = is_left_out ? -INFINITY : score;
    }
    free(side);
    free(found);
    free(total);
    return status;
}
