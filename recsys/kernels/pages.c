/* Whole pages: scores completed, lists wished for, articles assigned, slots written. */

#include "page.h"

typedef struct { /* memory for one thread's work on pages */
    Bench bench;
    float *scores, *importance, *similarity, *personal, *clicks; /* n_live each */
    int is_beside; /* whether an article is being read */
    double best; /* of `clicks` of the articles that the page may show */
    uint8_t *closed, *closed_here;                      /* n_live each */
    int64_t *closed_articles;                           /* n_live + 1 */
    int64_t *articles; /* n_lists x n_live: candidates */
    double *worth;     /* the same */
    int64_t *slots;    /* of the page */
    Pin *pins;
    const int64_t **group; /* n_lists x n_caps, as in Ranking */
    int64_t *near, *counted;
    void *floats, *ints, *bytes;
} Desk;

static int desk_opened(Desk *desk, const Run *run, const Plan *plan, int64_t n_page) {
    size_t n = (size_t)run->of.n_live + 1, n_lists = (size_t)plan->n_lists;
    size_t n_caps = n_lists * (size_t)(plan->n_caps + 1);
    int ready = bench_opened(&desk->bench, run->of.n_live, plan->n_groups);
    float *floats = desk->floats = malloc(5 * n * sizeof *floats);
    uint8_t *bytes = desk->bytes = malloc(2 * n);
    int64_t *ints = desk->ints =
        malloc((n + n_lists * n + (size_t)n_page + 1 + 2 * n_caps) * sizeof *ints);
    desk->worth = malloc(n_lists * n * sizeof *desk->worth);
    desk->pins = malloc((size_t)(plan->n_pins + 1) * sizeof *desk->pins);
    desk->group = malloc(n_caps * sizeof *desk->group);
    if (!ready || !floats || !bytes || !ints || !desk->worth || !desk->pins || !desk->group) return 0;
    desk->scores = floats, floats += n;
    desk->importance = floats, floats += n;
    desk->similarity = floats, floats += n;
    desk->personal = floats, floats += n;
    desk->clicks = floats;
    desk->closed = bytes, bytes += n;
    desk->closed_here = bytes;
    desk->closed_articles = ints, ints += n;
    desk->articles = ints, ints += n_lists * n;
    desk->slots = ints, ints += n_page + 1;
    desk->near = ints, ints += n_caps;
    desk->counted = ints;
    return 1;
}

static void desk_closed(Desk *desk) {
    bench_closed(&desk->bench);
    free(desk->floats), free(desk->bytes), free(desk->ints);
    free(desk->worth), free(desk->pins), free(desk->group);
}

/* Return the scores that a list ranks by. */
static const float *values_of(const List *list, const Desk *desk) {
    if (list->scorer == PERSONAL_SCORE) return desk->scores;
    if (list->scorer == IMPORTANCE_SCORE) return desk->importance;
    return list->scorer == SIMILARITY_SCORE ? desk->similarity : list->values;
}

/* Score all live articles for one page. */
static void score_page(const Run *run, const Plan *plan, const Request *request, int64_t page,
                       Desk *desk) {
    int64_t n_live = run->of.n_live;
    float *personal = request->personal ? request->personal + page * n_live : desk->personal;
    if (!request->has_user) /* nothing personal: the products would all be 0 */
        memset(personal, 0, (size_t)n_live * sizeof *personal);
    else if (!request->personal)
        personal_products(run, request->sides + page * run->n_features, personal);
    add_text(run, request, page, personal);
    for (int64_t i = 0; i < n_live; i++) desk->clicks[i] = personal[i] + run->fixed[i];
    add_context(run, request, personal);
    int is_personal = request->has_user || request->context >= 0;
    float share = is_personal ? (float)run->importance_personal : 0.0f;
    for (int64_t i = 0; i < n_live; i++) {
        desk->scores[i] = personal[i] + run->fixed[i];
        desk->importance[i] = run->importance[i] + share * personal[i];
    }
    for (int64_t l = 0; l < plan->n_lists; l++)
        if (plan->list[l].scorer == SIMILARITY_SCORE) {
            similarity_scores(run, request, desk->similarity);
            break;
        }
}

/* Keep the pins that hold on a page: their article is open, and the first of its story. */
static int64_t held_pins(const Plan *plan, const Articles *of, Desk *desk) {
    int64_t n = 0;
    for (int64_t k = 0; k < plan->n_pins; k++) {
        Pin pin = plan->pins[k];
        int held = !desk->closed[pin.article] && pin.slot < plan->list[pin.list].n_slots;
        for (int64_t j = 0; j < n; j++)
            held = held && of->story[desk->pins[j].article] != of->story[pin.article];
        if (held) desk->pins[n++] = pin;
    }
    return n;
}

/* Fill in what list `l` would show on a page; a wide search looks at all live articles. */
static Wish wish_of(const Run *run, const Plan *plan, int64_t l, const Cap *caps, int64_t n_caps,
                    int is_wide, int64_t n_page, int64_t n_closed, Desk *desk) {
    const List *list = plan->list + l;
    int is_about = desk->is_beside && list->follows_article;
    int64_t n_live = run->of.n_live, n = n_page + plan->n_pins, n_mine = 0, offset = 0;
    if (plan->click_share > 0 && n < plan->n_own) n = plan->n_own;
    const int64_t **group = desk->group + l * (plan->n_caps + 1);
    int64_t *near = desk->near + l * (plan->n_caps + 1);
    int64_t *counted = desk->counted + l * (plan->n_caps + 1);
    for (int64_t c = 0; c < n_caps; offset += caps[c++].n_groups)
        if (caps[c].list < 0 || caps[c].list == l) {
            group[n_mine] = caps[c].group;
            counted[n_mine] = offset;
            near[n_mine++] = caps[c].most + n_page - list->n_slots; /* others take no more */
        }
    int64_t reach = is_wide ? n_live : plan->under_caps;
    if (n_mine && n < reach) n = reach;
    Closed closed = {desk->closed, desk->closed_articles, n_closed};
    if (list->barred) {
        for (int64_t i = 0; i < n_live; i++)
            desk->closed_here[i] = desk->closed[i] | list->barred[i];
        closed = (Closed){.mask = desk->closed_here};
    }
    Ranking ranking = {
        .list = list, .values = values_of(list, desk), .group = group, .near = near,
        .counted = counted, .n_caps = n_mine, .n = n, .n_page = n_page,
        .far = n * (n_mine ? plan->farther : 1) + plan->spare,
        .clicks = desk->clicks, .best = desk->best,
        .click_share = is_about ? 0.0 : plan->click_share, .n_own = plan->n_own,
    };
    int64_t *articles = desk->articles + l * (n_live + 1);
    double *worth = desk->worth + l * (n_live + 1);
    int64_t size = wish(&ranking, closed, &run->of, &desk->bench, articles, worth);
    return (Wish){list->n_slots, size, articles, worth, list->priority, list->examination, list->minimum,
                  list->exempt};
}

/* Return whether a list that came out short can be filled by looking wider. It cannot where it
 * wishes for fewer articles than it has slots, and no cap holds any back. */
static int can_be_filled(const Plan *plan, const Wish *wishes, const int64_t *slots,
                         const Cap *caps, int64_t n_caps) {
    for (int64_t l = 0, i = 0; l < plan->n_lists; l++) {
        int is_short = 0, is_capped = 0;
        for (int64_t slot = 0; slot < plan->list[l].n_slots; slot++) is_short |= slots[i++] < 0;
        for (int64_t c = 0; c < n_caps; c++) is_capped |= caps[c].list < 0 || caps[c].list == l;
        if (is_short && (is_capped || wishes[l].n >= wishes[l].n_slots)) return 1;
    }
    return 0;
}

/* Compose one page into desk->slots, wider only for the rare page that comes out short: first with
 * more candidates, then without the layout's own caps. Return flags of how it came about, or
 * NO_MEMORY. */
static int32_t compose_page(const Run *run, const Plan *plan, int64_t n_page, int64_t n_closed,
                            int64_t n_pins, double *value, double *bound, Problem *narrow,
                            Desk *desk) {
    int32_t how = 0;
    Problem wide;
    int is_wide = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        int64_t n_given_way = attempt == 2 ? plan->n_own_caps : 0;
        const Cap *caps = plan->caps + n_given_way;
        int64_t n_caps = plan->n_caps - n_given_way, n_candidates = 0;
        Wish wishes[MAX_LISTS];
        for (int64_t l = 0; l < plan->n_lists; l++) {
            wishes[l] = wish_of(run, plan, l, caps, n_caps, attempt > 0, n_page, n_closed, desk);
            n_candidates += wishes[l].n;
        }
        if (attempt) {
            if (is_wide) problem_closed(&wide);
            is_wide = 1;
            if (!problem_opened(&wide, plan, n_candidates, run->of.n_live)) {
                problem_closed(&wide);
                return NO_MEMORY;
            }
        }
        compose(attempt ? &wide : narrow, plan, wishes, &run->of, caps, n_caps, desk->pins, n_pins,
                desk->slots, value, bound);
        if (attempt == 2) how |= CAPS_GAVE_WAY;
        int is_short = 0;
        for (int64_t i = 0; i < n_page; i++) is_short |= desk->slots[i] < 0;
        how = is_short ? how | SHORT_OF_ARTICLES : how & ~SHORT_OF_ARTICLES;
        if (!is_short || !can_be_filled(plan, wishes, desk->slots, caps, n_caps)) break;
        if (attempt == 1 && !plan->n_own_caps) break;
    }
    if (is_wide) problem_closed(&wide);
    return how;
}

/* Put the articles of lists that are known by their order, such as the latest ones, in that order;
 * pins stay. */
static void restore_orders(const Plan *plan, int64_t n_live, int64_t n_pins, Desk *desk) {
    int64_t *slots = desk->slots;
    uint8_t *is_shown = desk->closed_here;
    for (int64_t l = 0; l < plan->n_lists; slots += plan->list[l++].n_slots) {
        const List *list = plan->list + l;
        int64_t at[MAX_SLOTS], ordered[MAX_SLOTS], n = 0, n_found = 0;
        if (!list->by_turn || list->boosts) continue;
        memset(is_shown, 0, (size_t)n_live);
        for (int64_t slot = 0; slot < list->n_slots; slot++) {
            int held = slots[slot] < 0;
            for (int64_t k = 0; k < n_pins; k++)
                held |= desk->pins[k].list == l && desk->pins[k].slot == slot;
            if (!held) at[n++] = slot, is_shown[slots[slot]] = 1;
        }
        for (int64_t i = 0; i < list->n_order && n_found < n; i++)
            if (is_shown[list->order[i]]) ordered[n_found++] = list->order[i];
        for (int64_t i = 0; n_found == n && i < n; i++) slots[at[i]] = ordered[i];
    }
}

/* Write the slots of a page with their scores and reasons. */
static void write_slots(const Run *run, const Plan *plan, const Request *request, int64_t page,
                        int64_t n_pins, const Desk *desk, uint8_t *out) {
    for (int64_t l = 0, i = 0; l < plan->n_lists; l++) {
        const List *list = plan->list + l;
        const float *values = values_of(list, desk);
        for (int64_t slot = 0; slot < list->n_slots; slot++, i++, out += SLOT_BYTES) {
            int64_t article = desk->slots[i], because = -1, lead = 0;
            int32_t written = (int32_t)article, written_because = -1;
            float score = 0.0f;
            uint8_t code = 0;
            if (article >= 0) {
                float value = values[article] * 10000.0f; /* -inf for a pin that is not alike */
                score = isfinite(value) ? rintf(value) / 10000.0f : 0.0f;
                if (list->scorer == PERSONAL_SCORE)
                    lead = leading_signal(run, request, page, article, &because);
                code = list->code[(lead * 2 + (run->section[article] > 0)) * 2 +
                                  (run->rise[article] > 0)];
                for (int64_t k = 0; k < n_pins; k++)
                    if (desk->pins[k].list == l && desk->pins[k].slot == slot)
                        code = (uint8_t)run->chosen;
                if (code == run->because_read) written_because = (int32_t)because;
            }
            memcpy(out, &written, 4), memcpy(out + 4, &score, 4);
            out[8] = code;
            memcpy(out + 9, &written_because, 4);
        }
    }
}

/* Return whether every index of a request is in range, and every number finite. Whoever asks may
 * hand in anything, so it is looked at here, where it costs next to nothing. */
static int is_sound(const Run *run, const Request *request) {
    int64_t n_live = run->of.n_live, n_known = run->of.n_known;
    if (request->context < -1 || request->context >= n_known) return 0;
    for (int64_t i = 0; i < request->n_blocked; i++)
        if (request->blocked[i] < 0 || request->blocked[i] >= n_live) return 0;
    for (int64_t i = 0; i < request->n_pages * run->n_features; i++)
        if (!isfinite(request->sides[i])) return 0;
    for (int64_t i = 0; i < request->reads_start[request->n_pages]; i++)
        if (request->reads[i] < 0 || request->reads[i] >= n_known) return 0;
    for (int64_t i = 0; i < request->read_start[request->n_pages]; i++)
        if (request->read[i] < 0 || request->read[i] >= n_live) return 0;
    return 1;
}

int recsys_pages(const Run *run, const Plan *plan, const Request *request) {
    if (!is_sound(run, request)) return DAMAGED;
    int64_t n_live = run->of.n_live, n_page = 0;
    for (int64_t l = 0; l < plan->n_lists; l++) n_page += plan->list[l].n_slots;
    int64_t n_under_caps = n_page + plan->n_pins;
    if (n_under_caps < plan->under_caps) n_under_caps = plan->under_caps;
    int64_t n_kept = n_under_caps < n_live ? n_under_caps : n_live; /* unless the search is wide */
    Desk desk;
    Problem problem;
    int ready = desk_opened(&desk, run, plan, n_page);
    ready = problem_opened(&problem, plan, plan->n_lists * n_kept, n_live) && ready;
    desk.is_beside = request->context >= 0;
    for (int64_t page = 0; ready && page < request->n_pages; page++) {
        score_page(run, plan, request, page, &desk);
        int64_t n_closed = close_page(run, request, page, desk.closed, desk.closed_articles);
        int64_t n_pins = held_pins(plan, &run->of, &desk);
        desk.best = -INFINITY;
        for (int64_t i = 0; i < n_live; i++)
            if (!desk.closed[i] && desk.clicks[i] > desk.best) desk.best = desk.clicks[i];
        int32_t how = compose_page(run, plan, n_page, n_closed, n_pins, request->value + page,
                                   request->bound + page, &problem, &desk);
        ready = how >= 0;
        if (ready && plan->click_share > 0) restore_orders(plan, n_live, n_pins, &desk);
        request->how[page] = how;
        request->n_closed[page] = (int32_t)n_closed;
        if (ready)
            write_slots(run, plan, request, page, n_pins, &desk,
                        request->slots + page * n_page * SLOT_BYTES);
    }
    desk_closed(&desk), problem_closed(&problem);
    return ready ? DONE : NO_MEMORY;
}
