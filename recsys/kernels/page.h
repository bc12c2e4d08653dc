/* How the files that make pages work together. Used inside the kernels only:
 * scoring.c (what each article scores), wishlist.c (what each list would show), assignment.c
 * (which article fills which slot), pages.c (whole pages).
 */

#ifndef RECSYS_PAGE_H
#define RECSYS_PAGE_H

#include "select.h"

/* ---- scoring.c ---------------------------------------------------------------------- */

void personal_products(const Run *run, const float *side, float *personal);
void add_text(const Run *run, const Request *request, int64_t page, float *personal);
void add_context(const Run *run, const Request *request, float *personal);
void similarity_scores(const Run *run, const Request *request, float *values);
int64_t close_page(const Run *run, const Request *request, int64_t page, uint8_t *mask,
                   int64_t *articles);
int64_t leading_signal(const Run *run, const Request *request, int64_t page, int64_t article,
                       int64_t *because);

/* ---- wishlist.c --------------------------------------------------------------------- */

typedef struct { /* a list, and how deep it is looked into for one page */
    const List *list;
    const float *values; /* n_live */
    const int64_t *const *group; /* of each cap that holds for the list: groups of articles, */
    const int64_t *near;         /* how many of a group can matter, */
    const int64_t *counted;      /* and where its groups are counted */
    int64_t n_caps;
    int64_t far, n; /* candidates looked at, and kept */
    int64_t n_page; /* slots of the page */
    const float *clicks; /* n_live: the score of the user, whatever article is being read */
    double best;         /* the largest of the articles that the page may show */
    double click_share;  /* see Plan */
    int64_t n_own;
} Ranking;

typedef struct { /* memory for one thread's work on lists */
    Space space;
    Scored *found;
    float *lifted;
    int32_t *rank_of; /* n_live: INT32_MAX, and left so */
    int64_t *count;   /* n_groups: 0, and left so */
    uint8_t *seen;    /* n_live: whether a story came already; 0, and left so */
} Bench;

typedef struct { /* the candidates of a list on one page, best first, one a story */
    int64_t n_slots, n;
    const int64_t *articles;
    const double *worth; /* 1 for the best, falling */
    double priority;
    const double *examination; /* n_slots: how much each slot is looked at */
    int64_t minimum, exempt;
} Wish;

int bench_opened(Bench *bench, int64_t n_live, int64_t n_groups);
void bench_closed(Bench *bench);
int64_t wish(const Ranking *ranking, Closed closed, const Articles *of, Bench *bench,
             int64_t *articles, double *worth);

/* ---- assignment.c ------------------------------------------------------------------- */

typedef struct { /* slots (rows) x stories, or slots that stay empty (columns) */
    int64_t n_rows, n_columns, n_candidates;
    double *cost, *limited; /* n_rows x n_columns; what is not allowed within caps is NEVER */
    double *fill;           /* worth of any article in the row's slot */
    int64_t *candidate;     /* n_lists x n_columns: the candidate; n_candidates for none */
    int64_t *column, *article, *list_of;   /* of each candidate */
    int64_t *row_list, *slot, *at;         /* of each row: list, slot in it, and on the page */
    int64_t *chosen, *unlimited;           /* columns of rows: the page, and as if without caps */
    int64_t *holds;                        /* articles of rows, -1 for none */
    double *shortest, *row_dual, *column_dual; /* used by `assign` */
    int64_t *path, *row_of, *left;
    int64_t *room;   /* of each group of each cap */
    uint8_t *closed; /* of candidates, for caps */
    uint8_t *kept;   /* of columns */
    uint8_t *over;   /* of groups */
    uint8_t *shared; /* n_live: 0, and left so */
    int32_t *number; /* of stories and then of articles: column; -1, and left so */
    void *doubles, *ints, *bytes;
} Problem;

int problem_opened(Problem *p, const Plan *plan, int64_t n_candidates, int64_t n_live);
void problem_closed(Problem *p);
void compose(Problem *p, const Plan *plan, const Wish *wishes, const Articles *of, const Cap *caps,
             int64_t n_caps, const Pin *pins, int64_t n_pins, int64_t *slots, double *value,
             double *bound);

#endif
