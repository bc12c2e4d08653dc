/* Pages, the part that every page view and every reader of a night pays for: the best of
 * scored articles, what each list would show, and the assignment of articles to slots.
 *
 * Plain C on plain arrays, called through recsys/kernels/__init__.py, which says what each
 * argument is; nothing is kept between calls, so threads need no lock. What it does, and why,
 * is told in recsys/page/rankings.py and recsys/page/compose.py; tests/naive_pages.py does
 * the same in plain Python.
 */

#include "best.h"

#define NEVER 1e6 /* cost of what is not allowed */
enum { MOST_LISTS = 8 };

typedef struct {
    const float *values;   /* what the list thinks of each live article */
    int64_t values_stride; /* to the next page; 0 where all pages think alike */
    const int64_t *order;  /* live places, best first, where the list has one order for all */
    int64_t n_order;       /* 0 where it has none */
    int64_t by_turn;       /* an ordered list's values are 0, -1, -2 ... and not `values` */
    const uint8_t *closed; /* what must not be shown, n_live a page */
    const double *boosts;  /* of each live article, of the list's span; or NULL */
    const int64_t *const *group; /* of each cap that counts here: group of each live article, */
    const int64_t *near;         /* how many of a group can matter, */
    const int64_t *counted;      /* and where its groups are counted */
    int64_t n_caps;
    int64_t far;      /* candidates looked at */
    int64_t n;        /* candidates kept */
    double diversity; /* what likeness to a better candidate costs */
    int64_t *places;  /* out: n a page, -1 for no more */
    double *worth;    /* out */
} List;

typedef struct {
    int64_t n_slots;
    int64_t n; /* candidates */
    const int64_t *places;
    const double *values;
    double priority;
    int64_t minimum;
    int64_t exempt;
} Wish;

typedef struct {
    int64_t list; /* -1 for the page */
    const int64_t *group;
    int64_t n_groups;
    int64_t most;
} Cap;

typedef struct {
    int64_t list;
    int64_t slot;
    int64_t place;
} Pin;

/* The best `n` of each row: places (-1 for no more) and values (-inf). */
int recsys_tops(const float *scores, int64_t n_rows, int64_t n_live, int64_t n, int64_t *places,
                float *values) {
    Space space;
    Scored *found = malloc((size_t)(n + 1) * sizeof *found);
    int ready = opened(&space, n_live) && found;
    for (int64_t row = 0; ready && row < n_rows; row++) {
        int64_t size = best_of(scores + row * n_live, (Closed){0}, n_live, n, &space, found);
        for (int64_t i = 0; i < n; i++) {
            places[row * n + i] = i < size ? found[i].place : -1;
            values[row * n + i] = i < size ? found[i].value : -INFINITY;
        }
    }
    shut(&space), free(found);
    return ready ? 0 : -1;
}

typedef struct { /* the live articles, as lists see them */
    int64_t n_live;
    const int64_t *story;
    const int64_t *live_rows; /* row of each in what follows */
    const int64_t *start;     /* likeness, rows of a sparse matrix: columns ascend */
    const int32_t *column;
    const float *likeness;
} Articles;

/* The first `n` of a list's order that are not closed. */
static int64_t first_free(const List *list, const float *values, const uint8_t *closed, int64_t n,
                          Scored *found) {
    int64_t size = 0;
    for (int64_t i = 0; i < list->n_order && size < n; i++) {
        int64_t place = list->order[i];
        if (closed[place]) continue;
        found[size] = (Scored){list->by_turn ? -(float)size : values[place], place};
        size++;
    }
    return size;
}

/* A list's candidates under boosts: lifted by a share of the span from its best to the last
 * that a page of it alone would show. */
static int64_t boosted(const List *list, const float *values, Closed closed,
                       int64_t n_live, int64_t n_page, const Space *space, float *lifted,
                       Scored *found) {
    int64_t size;
    if (list->n_order) {
        size = first_free(list, values, closed.mask, n_live, found);
        for (int64_t i = 0; i < n_live; i++) lifted[i] = -INFINITY;
        for (int64_t i = 0; i < size; i++) lifted[found[i].place] = found[i].value;
    } else {
        size = best_of(values, closed, n_live, list->far, space, found);
        for (int64_t i = 0; i < n_live; i++) lifted[i] = closed.mask[i] ? -INFINITY : values[i];
    }
    int64_t last = (size < n_page ? size : n_page) - 1;
    float span = size ? found[0].value - found[last < 0 ? 0 : last].value : 1.0f;
    for (int64_t i = 0; i < n_live; i++) lifted[i] += (float)(list->boosts[i] * (double)span);
    return best_of(lifted, (Closed){0}, n_live, list->far, space, found);
}

/* What a candidate is worth less by what it says again of better ones. */
static void diversify(const List *list, int64_t size, int64_t *places, double *worth,
                      const Articles *of, int32_t *rank_of) {
    for (int64_t i = 0; i < size; i++) rank_of[places[i]] = (int32_t)i;
    for (int64_t i = size; i-- > 1;) { /* from behind: a rank is asked before it moves */
        int64_t row = of->live_rows[places[i]];
        float again = 0.0f;
        for (int64_t j = of->start[row]; j < of->start[row + 1]; j++)
            if (rank_of[of->column[j]] < i && of->likeness[j] > again) again = of->likeness[j];
        worth[i] -= list->diversity * (double)again;
    }
    for (int64_t i = 0; i < size; i++) rank_of[places[i]] = INT32_MAX;
    for (int64_t i = 1; i < size; i++) { /* they hardly move, so by insertion, which is stable */
        int64_t place = places[i], j = i;
        double value = worth[i];
        for (; j > 0 && worth[j - 1] < value; j--) {
            worth[j] = worth[j - 1];
            places[j] = places[j - 1];
        }
        worth[j] = value;
        places[j] = place;
    }
}

typedef struct { /* of one thread's work on lists */
    Space space;
    Scored *found;
    float *lifted;
    int32_t *rank_of; /* INT32_MAX, and left so */
    int64_t *count;   /* 0, and left so */
    uint8_t *told;    /* 0, and left so */
} Bench;

static int bench_opened(Bench *bench, int64_t n_live, int64_t n_groups) {
    size_t n = (size_t)n_live + 1;
    int ready = opened(&bench->space, n_live);
    bench->found = malloc(n * sizeof *bench->found);
    bench->lifted = malloc(n * sizeof *bench->lifted);
    bench->rank_of = malloc(n * sizeof *bench->rank_of);
    bench->count = calloc((size_t)n_groups + 1, sizeof *bench->count);
    bench->told = calloc(n, 1);
    ready = ready && bench->found && bench->lifted && bench->rank_of && bench->count && bench->told;
    for (size_t i = 0; ready && i < n; i++) bench->rank_of[i] = INT32_MAX;
    return ready;
}

static void bench_shut(Bench *bench) {
    shut(&bench->space);
    free(bench->found), free(bench->lifted), free(bench->rank_of);
    free(bench->count), free(bench->told);
}

/* Fill `places` and `worth` with what a list would show on a page: up to list->n (at most
 * n_live are written before that); return how many. */
static int64_t wish(const List *list, const float *values, Closed closed, int64_t n_page,
                    const Articles *of, Bench *bench, int64_t *places, double *worth) {
    int64_t size, n_live = of->n_live, far = list->far < n_live ? list->far : n_live;
    Scored *found = bench->found;
    if (list->boosts)
        size = boosted(list, values, closed, n_live, n_page, &bench->space, bench->lifted, found);
    else if (list->n_order)
        size = first_free(list, values, closed.mask, far, found);
    else
        size = best_of(values, closed, n_live, far, &bench->space, found);
    /* On a scale common to all lists: 1 the best, 0 the last of a page of this list alone. */
    int64_t last = (size < n_page ? size : n_page) - 1;
    double low = size ? (double)found[last < 0 ? 0 : last].value : 0.0;
    double reach = size ? (double)found[0].value - low : 1.0;
    int64_t kept = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t place = found[i].place;
        int beyond = 0;
        for (int64_t c = 0; c < list->n_caps && !beyond; c++) {
            int64_t group = list->group[c][place];
            beyond = group >= 0 && bench->count[list->counted[c] + group]++ >= list->near[c];
        }
        if (beyond || bench->told[of->story[place]]) continue;
        bench->told[of->story[place]] = 1;
        places[kept] = place;
        worth[kept++] = ((double)found[i].value - low) / (reach > 0 ? reach : 1.0);
    }
    for (int64_t i = 0; i < size; i++) {
        bench->told[of->story[found[i].place]] = 0;
        for (int64_t c = 0; c < list->n_caps; c++) {
            int64_t group = list->group[c][found[i].place];
            if (group >= 0) bench->count[list->counted[c] + group] = 0;
        }
    }
    if (list->diversity > 0) diversify(list, kept, places, worth, of, bench->rank_of);
    return kept < list->n ? kept : list->n;
}

/* What each list would show on each of some pages. */
int recsys_wishes(const List *lists, int64_t n_lists, int64_t n_pages, int64_t n_page,
                  const Articles *of, int64_t n_groups) {
    Bench bench;
    int64_t *places = malloc((size_t)(of->n_live + 1) * sizeof *places);
    double *worth = malloc((size_t)(of->n_live + 1) * sizeof *worth);
    int ready = bench_opened(&bench, of->n_live, n_groups) && places && worth;
    for (int64_t page = 0; ready && page < n_pages; page++)
        for (const List *list = lists; list < lists + n_lists; list++) {
            Closed closed = {.mask = list->closed + page * of->n_live};
            int64_t size = wish(list, list->values + page * list->values_stride, closed, n_page, of,
                                &bench, places, worth);
            for (int64_t i = 0; i < list->n; i++) {
                list->places[page * list->n + i] = i < size ? places[i] : -1;
                list->worth[page * list->n + i] = i < size ? worth[i] : 0.0;
            }
        }
    bench_shut(&bench), free(places), free(worth);
    return ready ? 0 : -1;
}

/* ---- the assignment ------------------------------------------------------------------ */

typedef struct { /* a page: slots x columns; a column is a story, or a slot that stays empty */
    int64_t n_rows, n_columns, n_candidates;
    double *cost, *limited; /* n_rows x n_columns; what is not allowed within caps is NEVER */
    double *fill;           /* worth of any article in the row's slot */
    int64_t *candidate;     /* n_lists x n_columns: whose article it would be; n_candidates: none */
    int64_t *column, *place, *list_of;   /* of each candidate; place -1: there is none */
    int64_t *row_list, *slot, *at;       /* of each row: list, slot in it, and on the page */
    int64_t *chosen, *unlimited;         /* columns of rows: the page, and as if without caps */
    int64_t *stands;                     /* places of rows, -1 for none */
    double *shortest, *row_dual, *column_dual; /* of `assign` */
    int64_t *path, *row_of, *left;
    int64_t *room;   /* of each group of each cap */
    uint8_t *closed; /* of candidates, for caps */
    uint8_t *kept;   /* of columns */
    uint8_t *over;   /* of groups */
    uint8_t *shared; /* of live articles; 0, and left so */
    int32_t *number; /* of stories and then of live articles: column; -1, and left so */
    void *doubles, *ints, *bytes;
} Problem;

/* Make room for pages of so many slots and candidates. */
static int problem_opened(Problem *p, int64_t n_lists, int64_t n_slots, int64_t n_candidates,
                          int64_t n_live, const Cap *caps, int64_t n_caps) {
    int64_t n_groups = 0, n_most = n_candidates + n_slots; /* columns at most */
    for (int64_t c = 0; c < n_caps; c++) n_groups += caps[c].n_groups;
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
    p->place = ints, ints += n_candidates;
    p->list_of = ints, ints += n_candidates;
    p->row_list = ints, ints += n_slots;
    p->slot = ints, ints += n_slots;
    p->at = ints, ints += n_slots;
    p->chosen = ints, ints += n_slots;
    p->unlimited = ints, ints += n_slots;
    p->stands = ints, ints += n_slots;
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

static void problem_shut(Problem *p) {
    free(p->doubles), free(p->ints), free(p->bytes), free(p->number);
}

/* The column of each row that costs least in all, by shortest augmenting paths: Jonker,
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
            p->left[at] = p->left[--n_left]; /* what is done stands behind, with its length */
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
        for (int64_t j = end, before;; j = before) { /* along the path each row moves on */
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

static double paid_for(const Problem *p, const int64_t *chosen, int64_t row) {
    return p->cost[row * p->n_columns + chosen[row]];
}

static int64_t picked(const Problem *p, const int64_t *chosen, int64_t row) {
    return p->candidate[p->row_list[row] * p->n_columns + chosen[row]];
}

/* Close candidates of groups of which too many stand, but for the best few; return whether
 * there are any. `room` is what each group may have. */
static int close_over(Problem *p, const Cap *cap, const int64_t *room) {
    const int64_t *chosen = p->chosen;
    uint8_t *closed = p->closed, *kept = p->kept, *over = p->over;
    int any = 0;
    memset(kept, 0, (size_t)p->n_columns);
    memset(over, 0, (size_t)cap->n_groups);
    for (int64_t row = 0; row < p->n_rows; row++) {
        int64_t mine = picked(p, chosen, row);
        if (mine == p->n_candidates) continue;
        int64_t group = cap->group[p->place[mine]];
        if (group < 0 || (cap->list >= 0 && cap->list != p->row_list[row])) continue;
        int64_t better = 0;
        for (int64_t other = 0; other < p->n_rows; other++) {
            int64_t theirs = picked(p, chosen, other);
            if (theirs == p->n_candidates || cap->group[p->place[theirs]] != group) continue;
            if (cap->list >= 0 && cap->list != p->row_list[other]) continue;
            double apart = paid_for(p, chosen, other) - paid_for(p, chosen, row);
            better += apart < 0 || (apart == 0 && theirs < mine);
        }
        if (better < room[group])
            kept[chosen[row]] = 1; /* it may go to another list, where it is another candidate */
        else
            over[group] = 1, any = 1;
    }
    for (int64_t i = 0; any && i < p->n_candidates; i++) {
        if (p->place[i] < 0 || (cap->list >= 0 && cap->list != p->list_of[i])) continue;
        int64_t group = cap->group[p->place[i]];
        if (group >= 0 && over[group] && !kept[p->column[i]]) closed[i] = 1;
    }
    return any;
}

/* Fill the problem of a page; wishes' arrays are those of this page. */
static void pose(Problem *p, const Wish *wishes, int64_t n_lists, int64_t n_live,
                 const int64_t *story, const Pin *pins, int64_t n_pins, double filled,
                 double minimum) {
    int64_t n_told = 0, i = 0, row = 0, offset = 0;
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
            if (wishes[l].places[k] >= 0) p->shared[wishes[l].places[k]] = 1;
    }
    for (int64_t l = 0; l < n_lists; l++)
        for (int64_t k = 0; k < wishes[l].n; k++, i++) {
            int64_t place = wishes[l].places[k];
            p->place[i] = place;
            p->list_of[i] = l;
            if (place < 0) continue;
            /* A story takes one slot; in an exempt list an article that no other has, itself. */
            int64_t told = wishes[l].exempt && !p->shared[place] ? n_live + place : story[place];
            if (p->number[told] < 0) p->number[told] = (int32_t)n_told++;
            p->column[i] = p->number[told];
        }
    p->n_columns = n_told + p->n_rows;
    for (int64_t k = 0; k < p->n_rows * p->n_columns; k++) p->cost[k] = NEVER;
    for (int64_t k = 0; k < n_lists * p->n_columns; k++) p->candidate[k] = p->n_candidates;
    i = 0;
    for (int64_t l = 0; l < n_lists; i += wishes[l++].n) {
        for (; row < p->n_rows && p->row_list[row] == l; row++) {
            double weight = wishes[l].priority / log2((double)p->slot[row] + 2.0);
            double *cost = p->cost + row * p->n_columns;
            p->fill[row] = p->slot[row] < wishes[l].minimum ? minimum : filled;
            for (int64_t k = 0; k < wishes[l].n; k++)
                if (p->place[i + k] >= 0)
                    cost[p->column[i + k]] = -weight * wishes[l].values[k] - p->fill[row];
            cost[n_told + row] = 0.0; /* to stay empty costs nothing */
        }
        for (int64_t k = 0; k < wishes[l].n; k++)
            if (p->place[i + k] >= 0) p->candidate[l * p->n_columns + p->column[i + k]] = i + k;
    }
    for (int64_t k = 0; k < n_pins; k++) {
        int64_t taken[2] = {story[pins[k].place], n_live + pins[k].place};
        for (int t = 0; t < 2; t++)
            for (row = 0; p->number[taken[t]] >= 0 && row < p->n_rows; row++)
                p->cost[row * p->n_columns + p->number[taken[t]]] = NEVER;
    }
    for (int64_t k = 0; k < p->n_candidates; k++)
        if (p->place[k] >= 0) {
            p->number[story[p->place[k]]] = p->number[n_live + p->place[k]] = -1;
            p->shared[p->place[k]] = 0;
        }
}

/* Leave each list no more candidates than it can need: as many that no other list has as it has
 * slots, and pins may take, and what stands before the last of those. One beyond would always
 * stand better as one of those. */
static void shorten(Wish *wishes, int64_t n_lists, const int64_t *story, int64_t n_pins,
                    int32_t *list_of) {
    int64_t n[MOST_LISTS];
    for (int64_t l = 0; l < n_lists; l++)
        for (int64_t k = 0; k < wishes[l].n; k++) {
            if (wishes[l].places[k] < 0) continue;
            int32_t *of = list_of + story[wishes[l].places[k]];
            *of = (int32_t)(*of < 0 ? l : n_lists);
        }
    for (int64_t l = 0; l < n_lists; l++) {
        int64_t wanted = wishes[l].n_slots + n_pins;
        for (n[l] = 0; n[l] < wishes[l].n && wanted > 0; n[l]++)
            if (wishes[l].places[n[l]] >= 0) wanted -= list_of[story[wishes[l].places[n[l]]]] == l;
    }
    for (int64_t l = 0; l < n_lists; l++) {
        for (int64_t k = 0; k < wishes[l].n; k++)
            if (wishes[l].places[k] >= 0) list_of[story[wishes[l].places[k]]] = -1;
        wishes[l].n = n[l];
    }
}

/* Compose one page into `lists`, the slots of all lists end to end. */
static void composed(Problem *p, const Wish *wishes, int64_t n_lists, int64_t n_live,
                     const int64_t *story, const Cap *caps, int64_t n_caps, const Pin *pins,
                     int64_t n_pins, double filled, double minimum, int64_t *lists, double *value,
                     double *bound) {
    /* Without caps no list needs more candidates than there are slots: of as many of its best,
     * others can take all but one. */
    int64_t n_slots = 0, next = 0;
    Wish few[MOST_LISTS];
    for (int64_t l = 0; l < n_lists; l++) few[l] = wishes[l], n_slots += wishes[l].n_slots;
    for (int64_t l = 0; l < n_lists; l++)
        if (few[l].n > n_slots + n_pins) few[l].n = n_slots + n_pins;
    shorten(few, n_lists, story, n_pins, p->number);
    pose(p, few, n_lists, n_live, story, pins, n_pins, filled, minimum);
    assign(p, p->cost, p->chosen);
    memcpy(p->unlimited, p->chosen, (size_t)p->n_rows * sizeof *p->chosen);
    for (int64_t c = 0, offset = 0; c < n_caps; offset += caps[c++].n_groups) {
        for (int64_t g = 0; g < caps[c].n_groups; g++) p->room[offset + g] = caps[c].most;
        for (int64_t k = 0; k < n_pins; k++) { /* pins count, and are never taken away */
            int64_t group = caps[c].group[pins[k].place];
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
                int64_t candidate = picked(p, p->chosen, row);
                p->stands[row] = candidate < p->n_candidates ? p->place[candidate] : -1;
            }
            pose(p, wishes, n_lists, n_live, story, pins, n_pins, filled, minimum);
            for (int64_t row = 0; row < p->n_rows; row++)
                p->chosen[row] = p->n_columns - p->n_rows + row;
            for (int64_t i = 0; i < p->n_candidates; i++)
                for (int64_t row = 0; row < p->n_rows; row++)
                    if (p->place[i] >= 0 && p->place[i] == p->stands[row] &&
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
    for (int64_t i = 0; i < n_slots; i++) lists[i] = -1;
    for (int64_t row = 0; row < p->n_rows; row++) {
        int64_t candidate = picked(p, p->chosen, row);
        total -= paid_for(p, p->chosen, row);
        best -= paid_for(p, p->unlimited, row);
        if (row == 0 || p->row_list[row] != p->row_list[row - 1]) next = row;
        if (candidate == p->n_candidates) continue;
        full += p->fill[row];
        lists[p->at[next++]] = p->place[candidate]; /* what stays empty is at the end */
    }
    for (int64_t k = 0; k < n_pins; k++) {
        int64_t offset = 0;
        for (int64_t l = 0; l < pins[k].list; l++) offset += wishes[l].n_slots;
        lists[offset + pins[k].slot] = pins[k].place;
    }
    *value = total - full;
    *bound = best - full;
}

/* The best pages out of wishes: see recsys/page/compose.py. */
int recsys_compose(const Wish *wishes, int64_t n_lists, int64_t n_pages, int64_t n_live,
                   const int64_t *story, const Cap *caps, int64_t n_caps, const Pin *pins,
                   int64_t n_pins, double filled, double minimum, int64_t *lists, double *value,
                   double *bound) {
    Problem p;
    int64_t n_slots = 0, n_candidates = 0;
    for (int64_t l = 0; l < n_lists; l++) n_slots += wishes[l].n_slots, n_candidates += wishes[l].n;
    Wish *mine = malloc((size_t)(n_lists + 1) * sizeof *mine);
    int ready = problem_opened(&p, n_lists, n_slots, n_candidates, n_live, caps, n_caps) && mine;
    for (int64_t page = 0; ready && page < n_pages; page++) {
        for (int64_t l = 0; l < n_lists; l++) {
            mine[l] = wishes[l];
            mine[l].places += page * wishes[l].n;
            mine[l].values += page * wishes[l].n;
        }
        composed(&p, mine, n_lists, n_live, story, caps, n_caps, pins, n_pins, filled, minimum,
                 lists + page * n_slots, value + page, bound + page);
    }
    problem_shut(&p), free(mine);
    return ready ? 0 : -1;
}

/* ---- whole pages --------------------------------------------------------------------- */

enum { N_LISTS = 4, YOU_MAY_ALSO_LIKE = 0, POPULAR_NOW, MUST_READS, LATEST_STORIES };
enum { N_CONTEXT = 3, TEXT = 3, ALS, AFFINITY, POPULARITY, N_PARTS = POPULARITY + 3 };
enum { CAPS_GAVE_WAY = 1, SHORT = 2 }; /* how a page was made */

typedef struct { /* a run; arrays of n_live, but where another length is named */
    Articles of;
    int64_t n_known, n_features, n_factors;
    const int64_t *place_of;    /* n_known: live place, -1 for none */
    const int64_t *story_start; /* n_live + 1: the articles of a story */
    const int64_t *of_story;
    const int32_t *section;      /* of live articles, a section of the products behind `personal` */
    const int64_t *category;     /* n_known */
    const float *article_side;   /* n_features x n_live: of the product behind `personal` */
    const float *fixed;          /* part of the score that is the same for all readers */
    const float *centred;        /* 3 x n_live: its parts, less their mean; -inf for no reason */
    const float *importance, *rise, *newness;
    const int64_t *risen;
    const int64_t *together_start; /* read together, as Articles' likeness */
    const int32_t *together_column;
    const float *together;
    const float *recent_weight; /* recent_reads + 1 rows of recent_reads: by how many there are */
    const uint8_t *code;        /* by list, part, whether in a section, whether rising */
    int64_t recent_reads;
    double context_text, context_together, context_section, text, affinity, must_reads_personal;
    double story_similarity;
    int64_t because_read, chosen; /* codes */
} Run;

typedef struct { /* what a page is to hold: lists in their order, and what editors' rules ask */
    int64_t n_slots[N_LISTS], minimum[N_LISTS], exempt[N_LISTS];
    double priority[N_LISTS];
    const uint8_t *barred[N_LISTS];
    const double *boosts[N_LISTS];
    const Cap *caps; /* our own first */
    int64_t n_caps, n_own;
    const Pin *pins; /* by priority */
    int64_t n_pins, n_groups;
    int64_t spare, under_caps, farther; /* see recsys/page/rankings.py */
    double diversity, filled, least;
} Plan;

typedef struct { /* the pages asked for */
    int64_t n_pages, has_reader, context; /* context: known index, or -1 */
    float *personal;    /* n_pages x n_live: products of reader and articles, completed here; or NULL */
    const float *sides; /* n_pages x n_features: the readers' side of them */
    const int64_t *reads_start, *reads; /* latest reads of each, newest first: known indices */
    const int64_t *read_start, *read;   /* live places each has read */
    const int64_t *blocked;             /* live places */
    int64_t n_blocked;
    const int64_t *latest; /* the newest first, as beside the context */
    uint8_t *slots;        /* out: n_pages x slots x SLOT_BYTES */
    double *value, *bound; /* out */
    int32_t *how, *n_closed; /* out */
} Ask;

enum { SLOT_BYTES = 13 }; /* place int32, score float32, code uint8, because int32 */

/* Where a column stands in a row of a sparse matrix, -1 for nowhere. */
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

/* Add what text and the article being read say to a reader's products. */
static void personalise(const Run *run, const Ask *ask, int64_t page, float *personal) {
    const Articles *of = &run->of;
    int64_t context = ask->context;
    if (ask->has_reader) {
        const int64_t *reads = ask->reads + ask->reads_start[page];
        int64_t n = ask->reads_start[page + 1] - ask->reads_start[page];
        if (n > run->recent_reads) n = run->recent_reads;
        const float *weight = run->recent_weight + n * run->recent_reads;
        for (int64_t i = 0; i < n; i++) {
            float each = (float)run->text * weight[i];
            for (int64_t j = of->start[reads[i]]; j < of->start[reads[i] + 1]; j++)
                personal[of->column[j]] += each * of->likeness[j];
        }
    }
    if (context < 0) return;
    for (int64_t j = of->start[context]; j < of->start[context + 1]; j++)
        personal[of->column[j]] += (float)run->context_text * of->likeness[j];
    for (int64_t j = run->together_start[context]; j < run->together_start[context + 1]; j++)
        personal[run->together_column[j]] += (float)run->context_together * run->together[j];
    int32_t section = (int32_t)run->category[context];
    for (int64_t i = 0; section > 0 && i < of->n_live; i++) /* 0 is "no section" */
        personal[i] += run->section[i] == section ? (float)run->context_section : 0.0f;
}

/* Mark and list a story's articles; return how many are listed then. */
static int64_t close_story(const Run *run, int64_t place, uint8_t *mask, int64_t *places, int64_t n) {
    int64_t story = run->of.story[place];
    for (int64_t i = run->story_start[story]; i < run->story_start[story + 1]; i++) {
        int64_t other = run->of_story[i];
        places[n] = other; /* as long as n_live and one */
        n += !mask[other];
        mask[other] = 1;
    }
    return n;
}

/* Mark and list what must not be on a page: read, being read, over, or of the same story. */
static int64_t close_page(const Run *run, const Ask *ask, int64_t page, uint8_t *mask,
                          int64_t *places) {
    const Articles *of = &run->of;
    int64_t n = 0, context = ask->context;
    memset(mask, 0, (size_t)of->n_live);
    for (int64_t i = 0; i < ask->n_blocked; i++)
        n = close_story(run, ask->blocked[i], mask, places, n);
    for (int64_t i = ask->read_start[page]; ask->has_reader && i < ask->read_start[page + 1]; i++)
        n = close_story(run, ask->read[i], mask, places, n);
    if (context < 0) return n;
    if (run->place_of[context] >= 0)
        n = close_story(run, run->place_of[context], mask, places, n);
    for (int64_t j = of->start[context]; j < of->start[context + 1]; j++)
        if ((double)of->likeness[j] >= run->story_similarity)
            n = close_story(run, of->column[j], mask, places, n);
    return n;
}

/* The part of the score that most lifts an article, and the recent read that is most like it
 * (-1 for none): what a reader is told. */
static int64_t leading(const Run *run, const Ask *ask, int64_t page, int64_t place,
                       int64_t *because) {
    const Articles *of = &run->of;
    float part[N_PARTS];
    int64_t context = ask->context, at;
    for (int i = 0; i < POPULARITY; i++) part[i] = -INFINITY;
    *because = -1;
    if (context >= 0) {
        at = at_column(of->start, of->column, context, place);
        part[0] = at < 0 ? 0.0f : (float)run->context_text * of->likeness[at];
        at = at_column(run->together_start, run->together_column, context, place);
        part[1] = at < 0 ? 0.0f : (float)run->context_together * run->together[at];
        int same = run->category[context] > 0 && run->section[place] == run->category[context];
        part[2] = same ? (float)run->context_section : 0.0f;
    }
    if (ask->has_reader) {
        const float *side = ask->sides + page * run->n_features;
        const int64_t *reads = ask->reads + ask->reads_start[page];
        int64_t n = ask->reads_start[page + 1] - ask->reads_start[page];
        if (n > run->recent_reads) n = run->recent_reads;
        const float *weight = run->recent_weight + n * run->recent_reads;
        float most = 0.0f, text = 0.0f, als = 0.0f;
        for (int64_t i = 0; i < n; i++) {
            if ((at = at_column(of->start, of->column, reads[i], place)) < 0) continue;
            float adds = weight[i] * of->likeness[at];
            text += adds;
            if (adds > most) most = adds, *because = reads[i];
        }
        for (int64_t f = 0; f < run->n_factors; f++)
            als += side[f] * run->article_side[f * of->n_live + place];
        part[TEXT] = (float)run->text * text, part[ALS] = als;
        part[AFFINITY] = (float)run->affinity * side[run->n_factors + run->section[place]];
    }
    int64_t lead = POPULARITY;
    for (int i = 0; i < 3; i++) part[POPULARITY + i] = run->centred[i * of->n_live + place];
    for (int i = 0; i < N_PARTS; i++)
        if (part[i] > part[lead] || (part[i] == part[lead] && i < lead)) lead = i;
    return lead;
}

/* One reader's products with all live articles. A library's threads, and its lock, would cost
 * more than so small a product; wider registers gain nothing, for it waits for memory: so a taste
 * for sections is looked up, not multiplied with indicators. */
static void products(const Run *run, const float *side, float *personal) {
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
        personal[i] += (float)run->affinity * side[n_factors + run->section[i]];
}

/* Whole pages: scores completed, lists wished for, articles assigned, slots written. */
int recsys_pages(const Run *run, const Plan *plan, const Ask *ask) {
    const Articles *of = &run->of;
    int64_t n_live = of->n_live, n_page = 0, n_pins = 0;
    for (int l = 0; l < N_LISTS; l++) n_page += plan->n_slots[l];
    int64_t under = plan->under_caps > n_page + plan->n_pins ? plan->under_caps : n_page + plan->n_pins;
    int64_t kept = under < n_live ? under : n_live; /* candidates of a list, but for wide ones */
    Bench bench;
    Problem p, wide;
    float *scores = malloc((size_t)(3 * n_live + 3) * sizeof *scores), *must = scores + n_live;
    uint8_t *closed = malloc((size_t)(2 * n_live + 2)), *shut_off = closed + n_live;
    int64_t *places = malloc((size_t)((N_LISTS + 1) * n_live + n_page + 1) * sizeof *places);
    int64_t *lists = places + N_LISTS * n_live, *closed_places = lists + n_page;
    double *worth = malloc((size_t)(N_LISTS * n_live + 1) * sizeof *worth);
    Pin *pins = malloc((size_t)(plan->n_pins + 1) * sizeof *pins);
    size_t n_of_caps = (size_t)(N_LISTS * (plan->n_caps + 1));
    const int64_t **group = malloc(n_of_caps * sizeof *group);
    int64_t *near = malloc(2 * n_of_caps * sizeof *near), *counted = near + n_of_caps;
    int ready = bench_opened(&bench, n_live, plan->n_groups);
    ready = problem_opened(&p, N_LISTS, n_page, N_LISTS * kept, n_live, plan->caps, plan->n_caps) && ready;
    int is_wide = 0;
    ready = ready && scores && closed && places && worth && pins && group && near;
    for (int64_t page = 0; ready && page < ask->n_pages; page++) {
        float *personal = ask->personal ? ask->personal + page * n_live : must + n_live;
        if (!ask->personal)
            products(run, ask->sides + page * run->n_features, personal);
        personalise(run, ask, page, personal);
        int lightly = ask->has_reader || ask->context >= 0;
        float share = lightly ? (float)run->must_reads_personal : 0.0f;
        for (int64_t i = 0; i < n_live; i++) {
            scores[i] = personal[i] + run->fixed[i];
            must[i] = run->importance[i] + share * personal[i];
        }
        int64_t n_closed = close_page(run, ask, page, closed, closed_places);
        n_pins = 0;
        for (int64_t k = 0; k < plan->n_pins; k++) { /* which hold: one a story */
            Pin pin = plan->pins[k];
            int held = !closed[pin.place] && pin.slot < plan->n_slots[pin.list];
            for (int64_t j = 0; j < n_pins; j++)
                held = held && of->story[pins[j].place] != of->story[pin.place];
            if (held) pins[n_pins++] = pin;
        }
        const float *values[N_LISTS] = {scores, run->rise, must, run->newness};
        int how = 0;
        /* Wider only for the rare page that comes out short: candidates, then our own caps. */
        for (int attempt = 0; attempt < 3 && ready; attempt++) {
            const Cap *caps = plan->caps + (attempt == 2 ? plan->n_own : 0);
            int64_t n_caps = plan->n_caps - (attempt == 2 ? plan->n_own : 0);
            Wish wishes[N_LISTS];
            for (int l = 0; l < N_LISTS; l++) {
                const int64_t **groups = group + l * (plan->n_caps + 1);
                int64_t *nears = near + l * (plan->n_caps + 1), *at = counted + l * (plan->n_caps + 1);
                int64_t n = n_page + plan->n_pins, n_mine = 0, offset = 0;
                for (int64_t c = 0; c < n_caps; offset += caps[c++].n_groups)
                    if (caps[c].list < 0 || caps[c].list == l) {
                        groups[n_mine] = caps[c].group;
                        at[n_mine] = offset; /* no other list takes more of a group than its slots */
                        nears[n_mine++] = caps[c].most + n_page - plan->n_slots[l];
                    }
                int64_t reach = attempt ? n_live : plan->under_caps;
                if (n_mine && n < reach) n = reach;
                List list = {
                    .order = l == POPULAR_NOW ? run->risen : ask->latest,
                    .n_order = l == POPULAR_NOW || l == LATEST_STORIES ? n_live : 0,
                    .by_turn = l == LATEST_STORIES, .boosts = plan->boosts[l],
                    .group = groups, .near = nears, .counted = at, .n_caps = n_mine,
                    .far = n * (n_mine ? plan->farther : 1) + plan->spare, .n = n,
                    .diversity = l == YOU_MAY_ALSO_LIKE ? plan->diversity : 0.0,
                };
                Closed off = {closed, closed_places, n_closed};
                for (int64_t i = 0; plan->barred[l] && i < n_live; i++)
                    shut_off[i] = closed[i] | plan->barred[l][i];
                if (plan->barred[l]) off = (Closed){.mask = shut_off};
                int64_t *mine = places + l * n_live;
                double *value = worth + l * n_live;
                int64_t size = wish(&list, values[l], off, n_page, of, &bench, mine, value);
                wishes[l] = (Wish){plan->n_slots[l], size, mine, value, plan->priority[l],
                                   plan->minimum[l], plan->exempt[l]};
            }
            if (attempt && !is_wide) {
                is_wide = 1;
                ready = problem_opened(&wide, N_LISTS, n_page, N_LISTS * n_live, n_live, plan->caps,
                                       plan->n_caps);
                if (!ready) break;
            }
            composed(attempt ? &wide : &p, wishes, N_LISTS, n_live, of->story, caps, n_caps, pins,
                     n_pins, plan->filled, plan->least, lists, ask->value + page, ask->bound + page);
            if (attempt == 2) how |= CAPS_GAVE_WAY;
            int is_short = 0;
            for (int64_t i = 0; i < n_page; i++) is_short |= lists[i] < 0;
            how = is_short ? how | SHORT : how & ~SHORT;
            if (!is_short) break;
        }
        ask->how[page] = how;
        ask->n_closed[page] = (int32_t)n_closed;
        uint8_t *out = ask->slots + page * n_page * SLOT_BYTES;
        for (int64_t l = 0, i = 0; l < N_LISTS; l++)
            for (int64_t slot = 0; slot < plan->n_slots[l]; slot++, i++, out += SLOT_BYTES) {
                int64_t place = lists[i], because = -1, part = 0, there = place < 0 ? 0 : place;
                float score = n_live ? rintf(values[l][there] * 10000.0f) / 10000.0f : 0.0f;
                uint8_t code = 0;
                if (n_live) {
                    if (l == YOU_MAY_ALSO_LIKE && place >= 0)
                        part = leading(run, ask, page, place, &because);
                    code = run->code[((l * N_PARTS + part) * 2 + (run->section[there] > 0)) * 2 +
                                     (run->rise[there] > 0)];
                }
                for (int64_t k = 0; k < n_pins; k++)
                    if (pins[k].list == l && pins[k].slot == slot) code = (uint8_t)run->chosen;
                int32_t short_place = (int32_t)place;
                int32_t short_because = code == run->because_read ? (int32_t)because : -1;
                memcpy(out, &short_place, 4), memcpy(out + 4, &score, 4);
                out[8] = code;
                memcpy(out + 9, &short_because, 4);
            }
    }
    bench_shut(&bench), problem_shut(&p);
    if (is_wide) problem_shut(&wide);
    free(scores), free(closed), free(places), free(worth), free(pins), free(group), free(near);
    return ready ? 0 : -1;
}
