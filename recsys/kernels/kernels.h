/* Every structure and function that Python calls. The C files include this header, and cffi reads
 * the same text (recsys/kernels/library.py), so neither side can drift from the other.
 *
 * Arrays are C-contiguous. An "article" is the index of a live article, 0..n_live-1; a "known
 * index" is that of any article of the run, 0..n_known-1. The Python side has checked every index,
 * count and number before it gets here; nothing is kept between calls, so threads need no lock.
 */

#ifndef RECSYS_KERNELS_H
#define RECSYS_KERNELS_H

#include <stdint.h>

enum { DONE = 0, NO_MEMORY = -1, DAMAGED = 1 }; /* what a function returns */

/* Signals that are computed here, in the order of recsys/blend/signal_table.py, which names the
 * same ones; static signals follow them. */
enum ComputedSignal {
    CONTEXT_TEXT,
    CONTEXT_VECTORS,
    CONTEXT_ITEM_ITEM,
    CONTEXT_CATEGORY,
    TEXT,
    VECTORS,
    ALS,
    AFFINITY,
    N_COMPUTED_SIGNALS
};

/* Which score a list ranks articles by. */
enum {
    PERSONAL_SCORE,   /* the score of this user and the article being read */
    IMPORTANCE_SCORE, /* importance, and a share of what is personal */
    SIMILARITY_SCORE, /* likeness in text to the article being read */
    GIVEN_SCORE       /* the same for all pages: `values` */
};

enum { MAX_LISTS = 16, MAX_SLOTS = 100 };

/* No number of a run or of a profile is farther from 0, so that products and sums stay finite. */
enum { LARGEST = 1000000000 };

/* How a page came about: flags. */
enum { CAPS_GAVE_WAY = 1, SHORT_OF_ARTICLES = 2 };

/* Bytes of a slot: article int32 (-1 if empty), score float32, reason code uint8, known index of
 * the read article that the reason names (-1 for none) int32. */
enum { SLOT_BYTES = 13 };

typedef struct { /* articles that must not be on a page */
    const uint8_t *mask; /* n_live; NULL if none is closed */
    const int64_t *articles; /* the same as a list, or NULL if only the mask is known */
    int64_t n;
} Closed;

typedef struct { /* the live articles of a run */
    int64_t n_live, n_known;
    const int64_t *story;         /* n_live: an article of the same story, the same for all of it */
    const int64_t *live_rows;     /* n_live: known index */
    const int64_t *live_index_of; /* n_known: live index, -1 if not live */
    const int64_t *similar_start; /* n_known + 1: cosine of text, rows by known index, columns */
    const int32_t *similar_column; /* ascending and by live index */
    const float *similar_value;
} Articles;

typedef struct { /* at most `most` articles of each group, in one list or on the page */
    int64_t list; /* -1 for the page */
    const int64_t *group; /* n_live: 0..n_groups-1, -1 for none */
    int64_t n_groups, most;
} Cap;

typedef struct { /* an article that holds a slot (0 is the first) */
    int64_t list, slot, article;
} Pin;

typedef struct { /* one list of a page */
    int64_t scorer, n_slots;
    int64_t minimum;       /* slots that it keeps before another list gets more */
    int64_t exempt;        /* whether it may repeat a story of another list */
    double priority;       /* what it is worth to the page */
    const double *examination; /* n_slots: how much each slot is looked at */
    double diversity;      /* what likeness (a cosine of 1) to a better candidate costs */
    const float *values;   /* n_live: GIVEN_SCORE; otherwise NULL */
    const int64_t *order;  /* articles, best first, if one order holds on all pages; or NULL */
    int64_t n_order;
    int64_t by_turn;       /* whether ordered articles score 0, -1, -2 ... instead of `values` */
    int64_t follows_article; /* whether it keeps its own ranks beside an article */
    const uint8_t *barred; /* n_live: articles that it must not show; or NULL */
    const double *boosts;  /* n_live: in spans from its best to the last of a page; or NULL */
    const uint8_t *code;   /* reason: by leading signal, whether in a section, whether rising */
} List;

typedef struct { /* the lists of a page, and what rules ask */
    List list[MAX_LISTS];
    int64_t n_lists;
    const Cap *caps; /* first the layout's own, which give way when articles run out */
    int64_t n_caps, n_own_caps;
    const Pin *pins;
    int64_t n_pins, n_groups;
    int64_t spare, under_caps, farther; /* see recsys/page/rankings.py */
    double filled, least;               /* see recsys/page/compose.py */
    double click_share; /* of an article's worth: its chance of a click, instead of its rank */
    int64_t n_own;      /* candidates of a list for which that holds: its best */
} Plan;

typedef struct { /* a run; arrays have n_live numbers unless another length is named */
    Articles of;
    int64_t n_features, n_factors, n_dimensions, n_static;
    const int64_t *story_start; /* n_live + 1: where the articles of each story begin in */
    const int64_t *of_story;
    const int32_t *section;     /* 0 is "no section" */
    const int64_t *category;    /* n_known */
    const float *article_side;  /* n_features x n_live: factors, vectors, sections */
    const float *vectors;       /* n_known x n_dimensions: the publisher's, of unit length or zero */
    const float *fixed;         /* sum of the weighted static signals */
    const float *centred;       /* n_static x n_live: each less its mean; -inf: gives no reason */
    const float *importance, *rise;
    const int64_t *item_item_start; /* n_known + 1: articles read together, as `similar` */
    const int32_t *item_item_column;
    const float *item_item_value;
    const float *recent_weight; /* (recent_reads + 1) x recent_reads: by number of reads */
    int64_t recent_reads;
    const double *weight; /* N_COMPUTED_SIGNALS */
    double importance_personal; /* share of what is personal in IMPORTANCE_SCORE */
    double story_similarity;
    int64_t because_read, chosen; /* reason codes */
} Run;

typedef struct { /* pages to make */
    int64_t n_pages, has_user, context; /* context: known index of the article read, or -1 */
    float *personal; /* n_pages x n_live: products of users and articles, completed; or NULL */
    const float *sides; /* n_pages x n_features: the users' side of the products */
    const int64_t *reads_start, *reads; /* latest reads of each user, newest first: known */
    const int64_t *read_start, *read;   /* live articles that each user has read */
    const int64_t *blocked;             /* articles to leave out */
    int64_t n_blocked;
    uint8_t *slots; /* out: n_pages x slots x SLOT_BYTES, list after list */
    double *value, *bound; /* out, n_pages: see recsys/page/compose.py */
    int32_t *how, *n_closed; /* out, n_pages */
} Request;

typedef struct { /* what user states are made from */
    int64_t n_known, n_factors, n_categories, n_counts, known_reads;
    const int64_t *live_index_of; /* n_known */
    const float *factors;         /* n_live x n_factors */
    const float *gram;            /* n_factors x n_factors */
    double confidence;
} UserModel;

typedef struct { /* a live article, as its score for one user after another needs it */
    int64_t n_features;
    const float *side;   /* n_features: weighted; its products with a user's side are summed */
    const float *text;   /* n_known: weighted cosine of text */
    const float *recent_weight; /* as in Run */
    int64_t recent_reads;
    double fixed;            /* sum of its weighted static signals */
    const double *activity;  /* n_live + 1: added by how many live articles a user has read */
    const uint8_t *excludes; /* n_live: whether a user who has read it is left out */
    int64_t n_dimensions;
    const float *vectors;    /* n_known x n_dimensions */
    const float *vector;     /* n_dimensions: of the article, weighted */
} ScoredArticle;

const char *recsys_source_digest(void);

int recsys_pages(const Run *run, const Plan *plan, const Request *request);
int recsys_tops(const float *scores, int64_t n_rows, int64_t n_live, int64_t n, int64_t *articles,
                float *values);
int recsys_user_state(const UserModel *model, const uint8_t *packed, int64_t size,
                      const int64_t *clicks, int64_t n_clicks, float *side, int64_t *found);
int recsys_article_scores(const UserModel *model, const ScoredArticle *of, const uint8_t *packed,
                          const int64_t *start, int64_t n_users, double *scores);
int recsys_fold_in(const float *before, const float *clicked, int64_t n_clicks, const float *gram,
                   int64_t n_factors, double confidence, float *after);
int recsys_one_of_pair(const int64_t *user, const int64_t *article, int64_t n, int64_t n_users,
                       int64_t n_articles, int first, uint8_t *keep);
void recsys_running_counts(const int64_t *event_ms, const uint8_t *begins, int64_t n,
                           double half_life_ms, double *count);
int recsys_neighbours(float *scores, int64_t n_rows, int64_t n_live, const int64_t *start,
                      const int32_t *term, const float *value, const int64_t *live_start,
                      const int32_t *live_article, const float *live_value, const int64_t *own,
                      int64_t n, float least, int32_t *articles, float *values, int64_t *sizes);
int recsys_heaviest(const int64_t *start, const float *value, int64_t n_rows, int64_t n,
                    uint8_t *keep);
int recsys_file_version(const char *path, int64_t *found);

#endif
