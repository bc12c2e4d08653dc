/* What each live article scores on a page, which articles a page must not show, and which signal
 * says most for an article. recsys/blend/linear.py defines the score.
 */

#include "page.h"

/* Compute one user's products with all live articles. A library's threads, and its lock, would
 * cost more than so small a product. A taste for sections is looked up, not multiplied with
 * indicators: the loop waits for memory, so wider registers gain nothing. */
void personal_products(const Run *run, const float *side, float *personal) {
    int64_t n_live = run->of.n_live, n_factors = run->n_factors;
    memset(personal, 0, (size_t)n_live * sizeof *personal);
    for (int64_t f = 0; f + 4 <= n_factors; f += 4) {
        const float *a = run->article_side + f * n_live, *b = a + n_live, *c = b + n_live;
        const float *d = c + n_live;
        for (int64_t i = 0; i < n_live; i++)
            personal[i] += side[f] * a[i] + side[f + 1] * b[i] + side[f + 2] * c[i] + side[f + 3] * d[i];
    }
    for (int64_t f = n_factors / 4 * 4; f < n_factors; f++)
        for (int64_t i = 0; i < n_live; i++)
            personal[i] += side[f] * run->article_side[f * n_live + i];
    for (int64_t i = 0; i < n_live; i++)
        personal[i] += (float)run->weight[AFFINITY] * side[n_factors + run->section[i]];
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

/* Return the signal that lifts an article most on a page, and the recent read that adds most to
 * its text signal (-1 for none): what the reason says. */
int64_t leading_signal(const Run *run, const Request *request, int64_t page, int64_t article,
                       int64_t *because) {
    const Articles *of = &run->of;
    float part[N_COMPUTED_SIGNALS];
    int64_t context = request->context, at;
    for (int i = 0; i < N_COMPUTED_SIGNALS; i++) part[i] = -INFINITY;
    *because = -1;
    if (context >= 0) {
        at = at_column(of->similar_start, of->similar_column, context, article);
        part[CONTEXT_TEXT] = at < 0 ? 0.0f : (float)run->weight[CONTEXT_TEXT] * of->similar_value[at];
        at = at_column(run->item_item_start, run->item_item_column, context, article);
        part[CONTEXT_ITEM_ITEM] =
            at < 0 ? 0.0f : (float)run->weight[CONTEXT_ITEM_ITEM] * run->item_item_value[at];
        int same = run->category[context] > 0 && run->section[article] == run->category[context];
        part[CONTEXT_CATEGORY] = same ? (float)run->weight[CONTEXT_CATEGORY] : 0.0f;
    }
    if (request->has_user) {
        const float *side = request->sides + page * run->n_features;
        const int64_t *reads = request->reads + request->reads_start[page];
        int64_t n = n_recent_reads(run, request, page);
        const float *weight = run->recent_weight + n * run->recent_reads;
        float most = 0.0f, text = 0.0f, als = 0.0f;
        for (int64_t i = 0; i < n; i++) {
            at = at_column(of->similar_start, of->similar_column, reads[i], article);
            if (at < 0) continue;
            float adds = weight[i] * of->similar_value[at];
            text += adds;
            if (adds > most) most = adds, *because = reads[i];
        }
        for (int64_t f = 0; f < run->n_factors; f++)
            als += side[f] * run->article_side[f * of->n_live + article];
        part[TEXT] = (float)run->weight[TEXT] * text, part[ALS] = als;
        part[AFFINITY] = (float)run->weight[AFFINITY] * side[run->n_factors + run->section[article]];
    }
    /* Of equal signals the first leads; among -inf only, the first static one. */
    int64_t lead = N_COMPUTED_SIGNALS;
    float best = run->n_static ? run->centred[article] : -INFINITY;
    for (int64_t i = 1; i < run->n_static; i++)
        if (run->centred[i * of->n_live + article] > best)
            best = run->centred[i * of->n_live + article], lead = N_COMPUTED_SIGNALS + i;
    for (int i = N_COMPUTED_SIGNALS; i-- > 0;)
        if (part[i] > best || (part[i] == best && best > -INFINITY)) best = part[i], lead = i;
    return lead;
}
