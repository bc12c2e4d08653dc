/* What each list would show on a page: its candidates, best first, one a story, before lists meet.
 * recsys/page/rankings.py says why so many.
 */

#include "page.h"

/* Taken off the worth of candidates beyond the best of a list, which is about 0: no click on another
 * slot makes up for one of them. */
#define BEYOND 3.0

/* Fill in the first `n` articles of a list's order that are not closed; return how many. */
static int64_t first_open(const Ranking *ranking, const uint8_t *closed, int64_t n, Scored *found) {
    const List *list = ranking->list;
    int64_t size = 0;
    for (int64_t i = 0; i < list->n_order && size < n; i++) {
        int64_t article = list->order[i];
        if (closed[article]) continue;
        found[size] = (Scored){list->by_turn ? -(float)size : ranking->values[article], article};
        size++;
    }
    return size;
}

/* Fill in a list's candidates under boosts: each lifted by a share of the span from the best to
 * the last that a page of this list alone would show. */
static int64_t boosted(const Ranking *ranking, Closed closed, int64_t n_live, int64_t far,
                       const Space *space, float *lifted, Scored *found) {
    const List *list = ranking->list;
    const float *values = ranking->values;
    int64_t size;
    if (list->order) {
        size = first_open(ranking, closed.mask, n_live, found);
        for (int64_t i = 0; i < n_live; i++) lifted[i] = -INFINITY;
        for (int64_t i = 0; i < size; i++) lifted[found[i].article] = found[i].value;
    } else {
        size = best_of(values, closed, n_live, far, space, found);
        for (int64_t i = 0; i < n_live; i++) lifted[i] = closed.mask[i] ? -INFINITY : values[i];
    }
    int64_t last = (size < ranking->n_page ? size : ranking->n_page) - 1;
    float span = size ? found[0].value - found[last < 0 ? 0 : last].value : 1.0f;
    for (int64_t i = 0; i < n_live; i++) lifted[i] += (float)(list->boosts[i] * (double)span);
    return best_of(lifted, (Closed){0}, n_live, far, space, found);
}

/* Sort candidates by their worth, the largest first: by insertion, which is stable, and quick for a
 * nearly sorted list. */
static void sort_by_worth(int64_t size, int64_t *articles, double *worth) {
    for (int64_t i = 1; i < size; i++) {
        int64_t article = articles[i], j = i;
        double value = worth[i];
        for (; j > 0 && worth[j - 1] < value; j--) {
            worth[j] = worth[j - 1];
            articles[j] = articles[j - 1];
        }
        worth[j] = value;
        articles[j] = article;
    }
}

/* Lower each candidate's worth by its likeness to a better one, and sort again. */
static void diversify(double diversity, int64_t size, int64_t *articles, double *worth,
                      const Articles *of, int32_t *rank_of) {
    for (int64_t i = 0; i < size; i++) rank_of[articles[i]] = (int32_t)i;
    for (int64_t i = size; i-- > 1;) {
        int64_t row = of->live_rows[articles[i]];
        float again = 0.0f;
        for (int64_t j = of->similar_start[row]; j < of->similar_start[row + 1]; j++)
            if (rank_of[of->similar_column[j]] < i && of->similar_value[j] > again)
                again = of->similar_value[j];
        worth[i] -= diversity * (double)again;
    }
    for (int64_t i = 0; i < size; i++) rank_of[articles[i]] = INT32_MAX;
    sort_by_worth(size, articles, worth);
}

/* Put the chance of a click in the place of a candidate's rank in its list, and sort again. The
 * best of a list keep a part of their rank, which says what is close by; those beyond them come
 * after all, and only where articles run out. */
static void weigh_by_clicks(const Ranking *ranking, int64_t size, int64_t *articles,
                            double *worth) {
    const double *boosts = ranking->list->boosts;
    double share = ranking->click_share;
    for (int64_t i = 0; i < size; i++) {
        double own = worth[i] > 0.0 ? worth[i] : 0.0;
        double clicks = exp((double)ranking->clicks[articles[i]] - ranking->best);
        if (boosts) clicks += boosts[articles[i]];
        worth[i] = i < ranking->n_own ? share * clicks + (1.0 - share) * own
                                      : worth[i] - BEYOND;
    }
    sort_by_worth(size, articles, worth);
}

/* Return whether there was memory. */
int bench_opened(Bench *bench, int64_t n_live, int64_t n_groups) {
    size_t n = (size_t)n_live + 1;
    int ready = space_opened(&bench->space, n_live);
    bench->found = malloc(n * sizeof *bench->found);
    bench->lifted = malloc(n * sizeof *bench->lifted);
    bench->rank_of = malloc(n * sizeof *bench->rank_of);
    bench->count = calloc((size_t)n_groups + 1, sizeof *bench->count);
    bench->seen = calloc(n, 1);
    ready = ready && bench->found && bench->lifted && bench->rank_of && bench->count && bench->seen;
    for (size_t i = 0; ready && i < n; i++) bench->rank_of[i] = INT32_MAX;
    return ready;
}

void bench_closed(Bench *bench) {
    space_closed(&bench->space);
    free(bench->found), free(bench->lifted), free(bench->rank_of);
    free(bench->count), free(bench->seen);
}

/* Fill `articles` and `worth` (n_live each) with what a list would show; return how many of them
 * are meant, at most ranking->n. */
int64_t wish(const Ranking *ranking, Closed closed, const Articles *of, Bench *bench,
             int64_t *articles, double *worth) {
    int64_t size, n_live = of->n_live, far = ranking->far < n_live ? ranking->far : n_live;
    const List *list = ranking->list;
    Scored *found = bench->found;
    if (list->boosts)
        size = boosted(ranking, closed, n_live, far, &bench->space, bench->lifted, found);
    else if (list->order)
        size = first_open(ranking, closed.mask, far, found);
    else
        size = best_of(ranking->values, closed, n_live, far, &bench->space, found);
    /* On a scale common to all lists: 1 the best, 0 the last of a page of this list alone. */
    int64_t last = (size < ranking->n_page ? size : ranking->n_page) - 1;
    double low = size ? (double)found[last < 0 ? 0 : last].value : 0.0;
    double reach = size ? (double)found[0].value - low : 1.0;
    int64_t kept = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t article = found[i].article;
        int beyond = 0;
        for (int64_t c = 0; c < ranking->n_caps && !beyond; c++) {
            int64_t group = ranking->group[c][article];
            beyond = group >= 0 && bench->count[ranking->counted[c] + group]++ >= ranking->near[c];
        }
        if (beyond || bench->seen[of->story[article]]) continue;
        bench->seen[of->story[article]] = 1;
        articles[kept] = article;
        worth[kept++] = ((double)found[i].value - low) / (reach > 0 ? reach : 1.0);
    }
    for (int64_t i = 0; i < size; i++) {
        bench->seen[of->story[found[i].article]] = 0;
        for (int64_t c = 0; c < ranking->n_caps; c++) {
            int64_t group = ranking->group[c][found[i].article];
            if (group >= 0) bench->count[ranking->counted[c] + group] = 0;
        }
    }
    if (list->diversity > 0) diversify(list->diversity, kept, articles, worth, of, bench->rank_of);
    if (kept > ranking->n) kept = ranking->n;
    if (ranking->click_share > 0) weigh_by_clicks(ranking, kept, articles, worth);
    return kept;
}
