/* Which article fills which slot: one assignment for all lists of a page.
 * recsys/page/compose.py says what the best page is.
 */

#include "page.h"

#define NEVER 1e6 /* cost of what is not allowed; more than any page can be worth */

/* Make room for pages of a plan with so many candidates; return whether there was memory. */
int problem_opened(Problem *p, const Plan *plan, int64_t n_candidates, int64_t n_live) {
    int64_t n_lists = plan->n_lists, n_groups = plan->n_groups, n_slots = 0;
    for (int64_t l = 0; l < n_lists; l++) n_slots += plan->list[l].n_slots;
    int64_t n_most = n_candidates + n_slots; /* columns at most */
    int64_t n_doubles = 2 * n_slots * n_most + 2 * n_slots + 2 * n_most;
    int64_t n_ints = n_lists * n_most + 3 * n_candidates + 6 * n_slots + 3 * n_most + n_groups;
    int64_t n_bytes = n_candidates + n_most + n_groups + n_live;
    double *doubles = p->doubles = malloc((size_t)(n_doubles + 1) * sizeof *doubles);
    int64_t *ints = p->ints = malloc((size_t)(n_ints + 1) * sizeof *ints);
    uint8_t *bytes = p->bytes = calloc((size_t)n_bytes + 1, 1);
    p->number = malloc((size_t)(2 * n_live + 1) * sizeof *p->number);
    if (!doubles || !ints || !bytes || !p->number) return 0;
    memset(p->number, 0xff, (size_t)(2 * n_live + 1) * sizeof *p->number);
    p->cost = doubles, doubles += n_slots * n_most;
    p->limited = doubles, doubles += n_slots * n_most;
    p->fill = doubles, doubles += n_slots;
    p->row_dual = doubles, doubles += n_slots;
    p->shortest = doubles, doubles += n_most;
    p->column_dual = doubles;
    p->candidate = ints, ints += n_lists * n_most;
    p->column = ints, ints += n_candidates;
    p->article = ints, ints += n_candidates;
    p->list_of = ints, ints += n_candidates;
    p->row_list = ints, ints += n_slots;
    p->slot = ints, ints += n_slots;
    p->at = ints, ints += n_slots;
    p->chosen = ints, ints += n_slots;
    p->unlimited = ints, ints += n_slots;
    p->holds = ints, ints += n_slots;
    p->path = ints, ints += n_most;
    p->row_of = ints, ints += n_most;
    p->left = ints, ints += n_most;
    p->room = ints;
    p->closed = bytes, bytes += n_candidates;
    p->kept = bytes, bytes += n_most;
    p->over = bytes, bytes += n_groups;
    p->shared = bytes;
    return 1;
}

void problem_closed(Problem *p) {
    free(p->doubles), free(p->ints), free(p->bytes), free(p->number);
}

/* Choose the column of each row that costs least in all, by shortest augmenting paths: Jonker,
 * Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
 * problems", Computing 38, 1987. Every row has a column of its own that costs 0, so there is
 * always one. */
static void assign(Problem *p, const double *cost, int64_t *chosen) {
    int64_t n = p->n_columns;
    for (int64_t j = 0; j < n; j++) p->column_dual[j] = 0.0, p->row_of[j] = -1;
    for (int64_t start = 0; start < p->n_rows; start++) {
        double least = 0.0;
        int64_t row = start, n_left = n, end = -1;
        for (int64_t j = 0; j < n; j++) p->shortest[j] = INFINITY, p->left[j] = j;
        p->row_dual[start] = 0.0;
        while (end < 0) {
            const double *of_row = cost + row * n;
            double base = least - p->row_dual[row], best = INFINITY;
            int64_t at = 0;
            for (int64_t k = 0; k < n_left; k++) {
                int64_t j = p->left[k];
                double reduced = base + of_row[j] - p->column_dual[j];
                if (reduced < p->shortest[j]) p->shortest[j] = reduced, p->path[j] = row;
                if (p->shortest[j] < best ||
                    (p->shortest[j] == best && p->row_of[j] < 0 && p->row_of[p->left[at]] >= 0))
                    best = p->shortest[j], at = k;
            }
            least = best;
            int64_t j = p->left[at];
            p->left[at] = p->left[--n_left]; /* finished columns move to the end, with their length */
            p->left[n_left] = j;
            if (p->row_of[j] < 0)
                end = j;
            else
                row = p->row_of[j];
        }
        p->row_dual[start] += least;
        for (int64_t k = n_left; k < n; k++) {
            int64_t j = p->left[k];
            if (p->row_of[j] >= 0) p->row_dual[p->row_of[j]] += least - p->shortest[j];
            p->column_dual[j] += p->shortest[j] - least;
        }
        for (int64_t j = end, before;; j = before) { /* each row along the path takes the next column */
            int64_t to = p->path[j];
            p->row_of[j] = to;
            before = -1;
            if (to == start) break;
            before = chosen[to];
            chosen[to] = j;
        }
        for (int64_t j = 0; j < n; j++)
            if (p->row_of[j] >= 0) chosen[p->row_of[j]] = j;
    }
}

/* Return the cost of a row under a choice of columns. */
static double cost_of(const Problem *p, const int64_t *chosen, int64_t row) {
    return p->cost[row * p->n_columns + chosen[row]];
}

/* Return the candidate that a row holds under a choice of columns; n_candidates for none. */
static int64_t candidate_of(const Problem *p, const int64_t *chosen, int64_t row) {
    return p->candidate[p->row_list[row] * p->n_columns + chosen[row]];
}

/* Close the candidates of groups with more articles on the page than there is room for, apart from
 * the best few; return whether there are such groups. `room` is how many each group may have. */
static int close_over(Problem *p, const Cap *cap, const int64_t *room) {
    const int64_t *chosen = p->chosen;
    uint8_t *closed = p->closed, *kept = p->kept, *over = p->over;
    int any = 0;
    memset(kept, 0, (size_t)p->n_columns);
    memset(over, 0, (size_t)cap->n_groups);
    for (int64_t row = 0; row < p->n_rows; row++) {
        int64_t mine = candidate_of(p, chosen, row);
        if (mine == p->n_candidates) continue;
        int64_t group = cap->group[p->article[mine]];
        if (group < 0 || (cap->list >= 0 && cap->list != p->row_list[row])) continue;
        int64_t better = 0;
        for (int64_t other = 0; other < p->n_rows; other++) {
            int64_t theirs = candidate_of(p, chosen, other);
            if (theirs == p->n_candidates || cap->group[p->article[theirs]] != group) continue;
            if (cap->list >= 0 && cap->list != p->row_list[other]) continue;
            double apart = cost_of(p, chosen, other) - cost_of(p, chosen, row);
            better += apart < 0 || (apart == 0 && theirs < mine);
        }
        if (better < room[group])
            kept[chosen[row]] = 1; /* it may move to another list, where it is another candidate */
        else
            over[group] = 1, any = 1;
    }
    for (int64_t i = 0; any && i < p->n_candidates; i++) {
        if (p->article[i] < 0 || (cap->list >= 0 && cap->list != p->list_of[i])) continue;
        int64_t group = cap->group[p->article[i]];
        if (group >= 0 && over[group] && !kept[p->column[i]]) closed[i] = 1;
    }
    return any;
}

/* Return what a slot pays for an article. However little the list thinks of it, a filled slot is
 * worth more than an empty one: below a quarter of `filled` the pay falls ever more slowly. */
static double pay_of(double pay, double filled) {
    double floor = -filled / 4.0;
    return pay >= floor ? pay : floor + floor * (floor - pay) / (floor - pay + filled);
}

/* Write down the assignment problem of a page: what each slot would pay for each story. */
static void pose(Problem *p, const Plan *plan, const Wish *wishes, const Articles *of,
                 const Pin *pins, int64_t n_pins) {
    const int64_t *story = of->story;
    int64_t n_live = of->n_live, n_lists = plan->n_lists, n_stories = 0, i = 0, row = 0, offset = 0;
    p->n_rows = p->n_candidates = 0;
    for (int64_t l = 0; l < n_lists; offset += wishes[l++].n_slots) {
        p->n_candidates += wishes[l].n;
        for (int64_t slot = 0; slot < wishes[l].n_slots; slot++) {
            int held = 0;
            for (int64_t k = 0; k < n_pins; k++) held |= pins[k].list == l && pins[k].slot == slot;
            if (held) continue;
            p->row_list[p->n_rows] = l;
            p->slot[p->n_rows] = slot;
            p->at[p->n_rows++] = offset + slot;
        }
        for (int64_t k = 0; !wishes[l].exempt && k < wishes[l].n; k++)
            if (wishes[l].articles[k] >= 0) p->shared[wishes[l].articles[k]] = 1;
    }
    for (int64_t l = 0; l < n_lists; l++)
        for (int64_t k = 0; k < wishes[l].n; k++, i++) {
            int64_t article = wishes[l].articles[k];
            p->article[i] = article;
            p->list_of[i] = l;
            if (article < 0) continue;
            /* A story takes one slot. In an exempt list, an article that no other list wishes for
             * counts as a story of its own. */
            int64_t key = wishes[l].exempt && !p->shared[article] ? n_live + article : story[article];
            if (p->number[key] < 0) p->number[key] = (int32_t)n_stories++;
            p->column[i] = p->number[key];
        }
    p->n_columns = n_stories + p->n_rows;
    for (int64_t k = 0; k < p->n_rows * p->n_columns; k++) p->cost[k] = NEVER;
    for (int64_t k = 0; k < n_lists * p->n_columns; k++) p->candidate[k] = p->n_candidates;
    i = 0;
    for (int64_t l = 0; l < n_lists; i += wishes[l++].n) {
        for (; row < p->n_rows && p->row_list[row] == l; row++) {
            double weight = wishes[l].priority * wishes[l].examination[p->slot[row]];
            double *cost = p->cost + row * p->n_columns;
            p->fill[row] = p->slot[row] < wishes[l].minimum ? plan->least : plan->filled;
            for (int64_t k = 0; k < wishes[l].n; k++)
                if (p->article[i + k] >= 0)
                    cost[p->column[i + k]] =
                        -pay_of(weight * wishes[l].worth[k], plan->filled) - p->fill[row];
            cost[n_stories + row] = 0.0; /* an empty slot costs nothing */
        }
        for (int64_t k = 0; k < wishes[l].n; k++)
            if (p->article[i + k] >= 0) p->candidate[l * p->n_columns + p->column[i + k]] = i + k;
    }
    for (int64_t k = 0; k < n_pins; k++) {
        int64_t taken[2] = {story[pins[k].article], n_live + pins[k].article};
        for (int t = 0; t < 2; t++)
            for (row = 0; p->number[taken[t]] >= 0 && row < p->n_rows; row++)
                p->cost[row * p->n_columns + p->number[taken[t]]] = NEVER;
    }
    for (int64_t k = 0; k < p->n_candidates; k++)
        if (p->article[k] >= 0) {
            p->number[story[p->article[k]]] = p->number[n_live + p->article[k]] = -1;
            p->shared[p->article[k]] = 0;
        }
}

/* Leave each list no more candidates than it can need. It needs as many that no other list has as
 * it has slots and as pins may take away, and all that come before the last of those: instead of a
 * candidate beyond, one of those would always do better. */
static void shorten(Wish *wishes, int64_t n_lists, const int64_t *story, int64_t n_pins,
                    int32_t *list_of) {
    int64_t n[MAX_LISTS];
    for (int64_t l = 0; l < n_lists; l++)
        for (int64_t k = 0; k < wishes[l].n; k++) {
            if (wishes[l].articles[k] < 0) continue;
            int32_t *only = list_of + story[wishes[l].articles[k]];
            *only = (int32_t)(*only < 0 ? l : n_lists);
        }
    for (int64_t l = 0; l < n_lists; l++) {
        int64_t wanted = wishes[l].n_slots + n_pins;
        for (n[l] = 0; n[l] < wishes[l].n && wanted > 0; n[l]++)
            if (wishes[l].articles[n[l]] >= 0) wanted -= list_of[story[wishes[l].articles[n[l]]]] == l;
    }
    for (int64_t l = 0; l < n_lists; l++) {
        for (int64_t k = 0; k < wishes[l].n; k++)
            if (wishes[l].articles[k] >= 0) list_of[story[wishes[l].articles[k]]] = -1;
        wishes[l].n = n[l];
    }
}

/* Choose the articles of all slots of a page: `slots`, list after list. */
void compose(Problem *p, const Plan *plan, const Wish *wishes, const Articles *of, const Cap *caps,
             int64_t n_caps, const Pin *pins, int64_t n_pins, int64_t *slots, double *value,
             double *bound) {
    /* Without caps no list needs more candidates than the page has slots: other lists can take all
     * but one of as many of its best. */
    int64_t n_lists = plan->n_lists, n_slots = 0, next = 0;
    Wish few[MAX_LISTS];
    for (int64_t l = 0; l < n_lists; l++) few[l] = wishes[l], n_slots += wishes[l].n_slots;
    for (int64_t l = 0; l < n_lists; l++)
        if (few[l].n > n_slots + n_pins) few[l].n = n_slots + n_pins;
    shorten(few, n_lists, of->story, n_pins, p->number);
    pose(p, plan, few, of, pins, n_pins);
    assign(p, p->cost, p->chosen);
    memcpy(p->unlimited, p->chosen, (size_t)p->n_rows * sizeof *p->chosen);
    for (int64_t c = 0, offset = 0; c < n_caps; offset += caps[c++].n_groups) {
        for (int64_t g = 0; g < caps[c].n_groups; g++) p->room[offset + g] = caps[c].most;
        for (int64_t k = 0; k < n_pins; k++) { /* pins count, but they always stay */
            int64_t group = caps[c].group[pins[k].article];
            if (group >= 0 && (caps[c].list < 0 || caps[c].list == pins[k].list))
                p->room[offset + group]--;
        }
    }
    for (int64_t times = 0, again = 1;; times++) {
        again = 0;
        memset(p->closed, 0, (size_t)p->n_candidates);
        for (int64_t c = 0, offset = 0; c < n_caps; offset += caps[c++].n_groups)
            again |= close_over(p, caps + c, p->room + offset);
        if (!again) break;
        if (!times) { /* the same page among all candidates */
            for (int64_t row = 0; row < p->n_rows; row++) {
                int64_t candidate = candidate_of(p, p->chosen, row);
                p->holds[row] = candidate < p->n_candidates ? p->article[candidate] : -1;
            }
            pose(p, plan, wishes, of, pins, n_pins);
            for (int64_t row = 0; row < p->n_rows; row++)
                p->chosen[row] = p->n_columns - p->n_rows + row;
            for (int64_t i = 0; i < p->n_candidates; i++)
                for (int64_t row = 0; row < p->n_rows; row++)
                    if (p->article[i] >= 0 && p->article[i] == p->holds[row] &&
                        p->list_of[i] == p->row_list[row])
                        p->chosen[row] = p->column[i];
            memcpy(p->unlimited, p->chosen, (size_t)p->n_rows * sizeof *p->chosen);
            memset(p->closed, 0, (size_t)p->n_candidates);
            for (int64_t c = 0, offset = 0; c < n_caps; offset += caps[c++].n_groups)
                close_over(p, caps + c, p->room + offset);
            memcpy(p->limited, p->cost, (size_t)(p->n_rows * p->n_columns) * sizeof *p->cost);
        }
        for (int64_t i = 0; i < p->n_candidates; i++)
            for (int64_t row = 0; p->closed[i] && row < p->n_rows; row++)
                if (p->row_list[row] == p->list_of[i])
                    p->limited[row * p->n_columns + p->column[i]] = NEVER;
        assign(p, p->limited, p->chosen);
    }
    double total = 0.0, best = 0.0, full = 0.0;
    for (int64_t i = 0; i < n_slots; i++) slots[i] = -1;
    for (int64_t row = 0; row < p->n_rows; row++) {
        int64_t candidate = candidate_of(p, p->chosen, row);
        total -= cost_of(p, p->chosen, row);
        best -= cost_of(p, p->unlimited, row);
        if (row == 0 || p->row_list[row] != p->row_list[row - 1]) next = row;
        if (candidate == p->n_candidates) continue;
        full += p->fill[row];
        slots[p->at[next++]] = p->article[candidate]; /* empty slots come last */
    }
    for (int64_t k = 0; k < n_pins; k++) {
        int64_t offset = 0;
        for (int64_t l = 0; l < pins[k].list; l++) offset += wishes[l].n_slots;
        slots[offset + pins[k].slot] = pins[k].article;
    }
    *value = total - full;
    *bound = best - full;
}
