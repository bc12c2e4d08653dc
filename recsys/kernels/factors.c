/* A reader's factors after some clicks: many small systems of equations. Called through
 * factors.py.
 */

#include <stdint.h>
#include <stdlib.h>

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

/* See recsys.blend.fold_in. */
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
