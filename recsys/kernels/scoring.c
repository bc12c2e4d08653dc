/* What each live article scores on a page, which articles a page must not show, and which signal
 * says most for an article. recsys/blend/linear.py defines the score.
 */

#include "page.h"

/* Add the products of `n` numbers with as many rows of n_live. A library's threads, and its lock,
 * would cost more than so small a product. */
static void add_products(const float *rows, const float *side, int64_t n, float weight,
                         int64_t n_live, float *sums) {
    for (int64_t f = 0; f + 4 <= n; f += 4) {
        const float *a = rows + f * n_live, *b = a + n_live, *c = b + n_live, *d = c + n_live;
        float of_a = weight * side[f], of_b = weight * side[f + 1];
        float of_c = weight * side[f + 2], of_d = weight * side[f + 3];
        for (int64_t i = 0; i < n_live; i++)
            sums[i] += of_a * a[i] + of_b * b[i] + of_c * c[i] + of_d * d[i];
    }
    for (int64_t f = n / 4 * 4; f < n; f++)
        for (int64_t i = 0; i < n_live; i++) sums[i] += weight * side[f] * rows[f * n_live + i];
}

/* Compute one user's products with all live articles. A taste for sections is looked up, not
 * multiplied with indicators: the loop waits for memory, so wider registers gain nothing. */
void personal_products(const Run *run, const float *side, float *personal) {
    int64_t n_live = run->of.n_live, n_products = run->n_factors + run->n_dimensions;
    memset(personal, 0, (size_t)n_live * sizeof *personal);
    add_products(run->article_side, side, n_products, 1.0f, n_live, personal);
    for (int64_t i = 0; i < n_live; i++)
        personal[i] += (float)run->weight[AFFINITY] * side[n_products + run->section[i]];
}

/* Return how many reads of a page's user count as recent. */
static int64_t n_recent_reads(const Run *run, const Request *request, int64_t page) {
    int64_t n = request->reads_start[page + 1] - request->reads_start[page];
    return n < run->recent_reads ? n : run->recent_reads;
}

/* Add the text of recent reads to a user's products. */
void add_text(const Run *run, const Request *request, int64_t page, float *personal) {
    const Articles *of = &run->of;
    if (!request->has_user) return;
    const int64_t *reads = request->reads + request->reads_start[page];
    int64_t n = n_recent_reads(run, request, page);
    const float *weight = run->recent_weight + n * run->recent_reads;
    for (int64_t i = 0; i < n; i++) {
        float each = (float)run->weight[TEXT] * weight[i];
        for (int64_t j = of->similar_start[reads[i]]; j < of->similar_start[reads[i] + 1]; j++)
            personal[of->similar_column[j]] += each * of->similar_value[j];
    }
}

/* Add the article being read to a user's products. */
void add_context(const Run *run, const Request *request, float *personal) {
    const Articles *of = &run->of;
    int64_t context = request->context;
    if (context < 0) return;
    float text = (float)run->weight[CONTEXT_TEXT], together = (float)run->weight[CONTEXT_ITEM_ITEM];
    for (int64_t j = of->similar_start[context]; j < of->similar_start[context + 1]; j++)
        personal[of->similar_column[j]] += text * of->similar_value[j];
    for (int64_t j = run->item_item_start[context]; j < run->item_item_start[context + 1]; j++)
        personal[run->item_item_column[j]] += together * run->item_item_value[j];
    add_products(run->article_side + run->n_factors * of->n_live,
                 run->vectors + context * run->n_dimensions, run->n_dimensions,
                 (float)run->weight[CONTEXT_VECTORS], of->n_live, personal);
    int32_t section = (int32_t)run->category[context];
    float same = (float)run->weight[CONTEXT_CATEGORY];
    for (int64_t i = 0; section > 0 && i < of->n_live; i++)
        personal[i] += run->section[i] == section ? same : 0.0f;
}

/* Fill in the likeness in text to the article being read; -inf for articles that are not alike. */
void similarity_scores(const Run *run, const Request *request, float *values) {
    const Articles *of = &run->of;
    int64_t context = request->context;
    for (int64_t i = 0; i < of->n_live; i++) values[i] = -INFINITY;
    if (context < 0) return;
    for (int64_t j = of->similar_start[context]; j < of->similar_start[context + 1]; j++)
        values[of->similar_column[j]] = of->similar_value[j];
}

/* Mark and list the articles of a story; return how many are listed then. */
static int64_t close_story(const Run *run, int64_t article, uint8_t *mask, int64_t *articles,
                           int64_t n) {
    int64_t story = run->of.story[article];
    for (int64_t i = run->story_start[story]; i < run->story_start[story + 1]; i++) {
        int64_t other = run->of_story[i];
        articles[n] = other; /* there is room for n_live + 1 */
        n += !mask[other];
        mask[other] = 1;
    }
    return n;
}

/* Mark and list the articles that must not be on a page: read, being read, left out by the caller,
 * or of the story of one of those. Return how many there are. */
int64_t close_page(const Run *run, const Request *request, int64_t page, uint8_t *mask,
                   int64_t *articles) {
    const Articles *of = &run->of;
    int64_t n = 0, context = request->context;
    memset(mask, 0, (size_t)of->n_live);
    for (int64_t i = 0; i < request->n_blocked; i++)
        n = close_story(run, request->blocked[i], mask, articles, n);
    if (request->has_user)
        for (int64_t i = request->read_start[page]; i < request->read_start[page + 1]; i++)
            n = close_story(run, request->read[i], mask, articles, n);
    if (context < 0) return n;
    if (of->live_index_of[context] >= 0)
        n = close_story(run, of->live_index_of[context], mask, articles, n);
    for (int64_t j = of->similar_start[context]; j < of->similar_start[context + 1]; j++)
        if ((double)of->similar_value[j] >= run->story_similarity)
            n = close_story(run, of->similar_column[j], mask, articles, n);
    return n;
}

/* Return the position of a column in a row of a sparse matrix, -1 if the row does not have it. */
static int64_t at_column(const int64_t *start, const int32_t *column, int64_t row, int64_t wanted) {
    int64_t low = start[row], high = start[row + 1];
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (column[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low < start[row + 1] && column[low] == wanted ? low : -1;
}

/* Return the inner product of two vectors. */
static float product(const Run *run, const float *one, const float *other) {
    float sum = 0.0f;
    for (int64_t f = 0; f < run->n_dimensions; f++) sum += one[f] * other[f];
    return sum;
}

/* Return the recent read whose vector is closest to that of a live article, -1 for none. */
static int64_t closest_by_vectors(const Run *run, const int64_t *reads, int64_t n, int64_t article) {
    const float *own = run->vectors + run->of.live_rows[article] * run->n_dimensions;
    float most = 0.0f;
    int64_t closest = -1;
    for (int64_t i = 0; i < n; i++) {
        float cosine = product(run, run->vectors + reads[i] * run->n_dimensions, own);
        if (cosine > most) most = cosine, closest = reads[i];
    }
    return closest;
}

/* Return the signal that lifts an article most on a page, and what its reason names: the recent
 * read that adds most to the text signal, or is closest by vectors if these lead (-1 for none). */
int64_t leading_signal(const Run *run, const Request *request, int64_t page, int64_t article,
                       int64_t *because) {
    const Articles *of = &run->of;
    float part[N_COMPUTED_SIGNALS];
    const int64_t *reads = NULL;
    int64_t context = request->context, at, n_reads = 0;
    for (int i = 0; i < N_COMPUTED_SIGNALS; i++) part[i] = -INFINITY;
    *because = -1;
    if (context >= 0) {
        at = at_column(of->similar_start, of->similar_column, context, article);
        part[CONTEXT_TEXT] = at < 0 ? 0.0f : (float)run->weight[CONTEXT_TEXT] * of->similar_value[at];
        if (run->n_dimensions)
            part[CONTEXT_VECTORS] =
                (float)run->weight[CONTEXT_VECTORS] *
                product(run, run->vectors + context * run->n_dimensions,
                        run->vectors + of->live_rows[article] * run->n_dimensions);
        at = at_column(run->item_item_start, run->item_item_column, context, article);
        part[CONTEXT_ITEM_ITEM] =
            at < 0 ? 0.0f : (float)run->weight[CONTEXT_ITEM_ITEM] * run->item_item_value[at];
        int same = run->category[context] > 0 && run->section[article] == run->category[context];
        part[CONTEXT_CATEGORY] = same ? (float)run->weight[CONTEXT_CATEGORY] : 0.0f;
    }
    if (request->has_user) {
        const float *side = request->sides + page * run->n_features;
        reads = request->reads + request->reads_start[page];
        n_reads = n_recent_reads(run, request, page);
        const float *weight = run->recent_weight + n_reads * run->recent_reads;
        float most = 0.0f, text = 0.0f, als = 0.0f, vectors = 0.0f;
        for (int64_t i = 0; i < n_reads; i++) {
            at = at_column(of->similar_start, of->similar_column, reads[i], article);
            if (at < 0) continue;
            float adds = weight[i] * of->similar_value[at];
            text += adds;
            if (adds > most) most = adds, *because = reads[i];
        }
        for (int64_t f = 0; f < run->n_factors; f++)
            als += side[f] * run->article_side[f * of->n_live + article];
        int64_t n_products = run->n_factors + run->n_dimensions;
        for (int64_t f = run->n_factors; f < n_products; f++)
            vectors += side[f] * run->article_side[f * of->n_live + article];
        part[TEXT] = (float)run->weight[TEXT] * text, part[ALS] = als;
        if (run->n_dimensions) part[VECTORS] = vectors;
        part[AFFINITY] = (float)run->weight[AFFINITY] * side[n_products + run->section[article]];
    }
    /* Of equal signals the first leads; among -inf only, the first static one. */
    int64_t lead = N_COMPUTED_SIGNALS;
    float best = run->n_static ? run->centred[article] : -INFINITY;
    for (int64_t i = 1; i < run->n_static; i++)
        if (run->centred[i * of->n_live + article] > best)
            best = run->centred[i * of->n_live + article], lead = N_COMPUTED_SIGNALS + i;
    for (int i = N_COMPUTED_SIGNALS; i-- > 0;)
        if (part[i] > best || (part[i] == best && best > -INFINITY)) best = part[i], lead = i;
    if (lead == VECTORS) *because = closest_by_vectors(run, reads, n_reads, article);
    return lead;
}
