"""Pages in plain Python, which says what the kernels compute; and models to make pages of."""

import math

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix

from recsys.blend.linear import score_parts, total_score
from recsys.blend.live_model import LiveModel, PageModel, Rows, UserState
from recsys.blend.profiles import NO_COUNTS, NOTHING_EXPOSED, Parts, Profiles
from recsys.blend.signal_table import SIGNALS, signal_names
from recsys.config import Config
from recsys.config_page import PageConfig
from recsys.matrices import unit_rows
from recsys.page import rankings
from recsys.page.compose import FILLED, MINIMUM
from recsys.page.rankings import boosts_of

NEVER = 1e6
BEYOND = 3.0  # as in wishlist.c
# How much positions are looked at by a log, in every third model.
LOOKED_AT = {
    "you_may_also_like": np.array([1.0, 0.4]),
    "must_reads": np.array([1.0, 0.9, 0.8, 0.2]),
}
# Lists whose articles are worth what their rank says, whatever is likely to be clicked.
RANKS_ONLY = Config(page=PageConfig(click_share=0.0))


def rows_of(matrix):
    matrix = csr_matrix(matrix)
    return Rows(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype("f4")
    )


def random_model(seed, n_live=60, n_known=80, n_categories=4, config=None, languages=()):
    rng = np.random.default_rng(seed)
    config = config or Config()
    live_rows = np.sort(rng.choice(n_known, n_live, replace=False))

    def sparse():
        return np.where(rng.random((n_known, n_live)) < 0.1, rng.random((n_known, n_live)), 0)

    # Every other model has vectors of articles; some articles have none.
    vectors = np.random.default_rng(seed).normal(size=(n_known, 5 * (seed % 2))).astype("f4")
    vectors[::7] = 0.0
    factors = rng.normal(size=(n_live, 3)).astype(np.float32)
    live = LiveModel(
        live_rows=live_rows,
        static={name: rng.random(n_live).astype("f4") for name in signal_names("static")},
        factors=factors,
        warm=np.ones(n_live, dtype=bool),
        gram=factors.T @ factors + np.eye(3, dtype=np.float32),
        category=rng.integers(0, n_categories, n_known),
        similar=rows_of(sparse() * 0.5),
        item_item=rows_of(sparse()),
        vectors=unit_rows(vectors),
        weights={row.name: row.weight for row in SIGNALS},
        blend=config.blend,
        click_confidence=11.0,
    )
    story = np.minimum(np.arange(n_live), rng.integers(0, n_live, n_live))
    while (story[story] != story).any():
        story = story[story]
    return PageModel(
        live=live,
        story=story,
        importance=rng.random(n_live).astype("f4"),
        rise=rng.normal(size=n_live).astype("f4"),
        newest=rng.permutation(n_live),
        filters={},
        n_categories=n_categories,
        language=rng.integers(0, len(languages) + 1, n_known),
        languages=["", *languages],
        examination=LOOKED_AT if seed % 3 == 1 else {},
        config=config,
    )


def random_user(rng, model):
    n_live, n_known = len(model.live.live_rows), len(model.live.category)
    return UserState(
        rng.normal(size=3).astype("f4"),
        rng.normal(size=model.n_categories).astype("f4"),
        rng.choice(n_known, rng.integers(0, 6), replace=False),
        np.sort(rng.choice(n_live, rng.integers(0, min(12, n_live)), replace=False)),
        NOTHING_EXPOSED,
        NO_COUNTS,
    )


def profiles_of(found):
    """Return single profiles as the arrays of many."""

    def parts(name):
        values = [getattr(profile, name) for profile in found]
        return Parts(np.cumsum([0, *map(len, values)]), np.concatenate(values))

    return Profiles(
        np.array([profile.as_of_ms for profile in found]),
        np.array([profile.factors for profile in found]),
        np.array([profile.affinity for profile in found]),
        parts("reads"),
        parts("read"),
        parts("exposed"),
        np.concatenate([profile.exposure_counts for profile in found], axis=1),
    )


def candidates(builder, scored, of, layout, closed, editorial, n, caps, scores=None):
    """What a list would show: (live index, worth), best first."""
    model, values, n_page = builder.model, scored.values[of.name], layout.n_page
    closed_on_page = scored.closed
    order = builder.rankings.order(of, builder.rankings.section_of(scored.context))
    far = n * (rankings.FARTHER if caps else 1) + rankings.SPARE
    if order is not None:
        free = [int(a) for a in order if not closed[a]]
        ranked = [
            (-float(i) if of.row.by_turn else float(values[a]), a) for i, a in enumerate(free)
        ]
    else:
        free = [a for a in range(len(values)) if not closed[a] and np.isfinite(values[a])]
        ranked = sorted(((float(values[a]), a) for a in free), key=lambda pair: (-pair[0], pair[1]))
    boosts = boosts_of(of, editorial)
    if boosts is not None:
        near = ranked if order is not None else ranked[:far]
        last = min(max(len(near), 1), n_page) - 1
        span = np.float32(near[0][0]) - np.float32(near[last][0]) if near else np.float32(1)
        lift = (boosts * float(span)).astype(np.float32)
        ranked = sorted(
            ((float(np.float32(v) + lift[a]), a) for v, a in ranked),
            key=lambda pair: (-pair[0], pair[1]),
        )
    ranked = ranked[:far]
    last = min(max(len(ranked), 1), n_page) - 1
    low = ranked[last][0] if ranked else 0.0
    reach = ranked[0][0] - low if ranked else 1.0
    found = [(a, (v - low) / (reach if reach > 0 else 1.0)) for v, a in ranked]
    for cap in caps:
        seen, kept = {}, []
        for article, worth in found:
            group = int(cap.group[article])
            seen[group] = seen.get(group, 0) + 1
            if group < 0 or seen[group] <= cap.most + n_page - of.n_slots:
                kept.append((article, worth))
        found = kept
    stories, kept = set(), []
    for article, worth in found:
        if model.story[article] not in stories:
            stories.add(model.story[article])
            kept.append((article, worth))
    if of.diversity:
        again = []
        for rank, (article, worth) in enumerate(kept):
            column, value = model.live.similar.row(int(model.live.live_rows[article]))
            likeness = dict(zip(column.tolist(), value.tolist(), strict=True))
            most = max((likeness.get(better, 0.0) for better, _ in kept[:rank]), default=0.0)
            again.append((article, worth - of.diversity * most))
        kept = sorted(again, key=lambda pair: -pair[1])
    return by_clicks(builder, of, kept[:n], scores, closed_on_page, boosts)


def by_clicks(builder, of, kept, scores, closed, boosts):
    """Candidates by the chance of a click, those beyond the list's own best after them."""
    page = builder.model.config.page
    if page.click_share == 0 or scores is None:
        return kept
    best = max((float(scores[a]) for a in range(len(scores)) if not closed[a]), default=-math.inf)
    found = []
    for i, (article, worth) in enumerate(kept):
        clicks = math.exp(float(scores[article]) - best)
        clicks += 0.0 if boosts is None else float(boosts[article])
        share = page.click_share * clicks + (1 - page.click_share) * max(worth, 0.0)
        found.append((article, share if i < page.own_candidates else worth - BEYOND))
    return sorted(found, key=lambda pair: -pair[1])


def pay_of(pay):
    """What a slot pays: below a quarter of `FILLED` it falls ever more slowly."""
    floor = -FILLED / 4
    return pay if pay >= floor else floor + floor * (floor - pay) / (floor - pay + FILLED)


def looked_at(examination, name, slot):
    """How much a slot is looked at; beyond the known ones as 1 / log2(slot + 2) falls."""
    curve = examination.get(name, np.ones(1)).tolist()
    last = min(slot, len(curve) - 1)
    return curve[last] * math.log2(last + 2) / math.log2(slot + 2)


def assigned(layout, wishes, story, caps, pins, examination):
    """The best page without caps; then of too many the best few stay, and the rest again."""
    held, lists = {(pin.name, pin.slot) for pin in pins}, {of.name: of for of in layout.lists}
    rows = [(of, s) for of in layout.lists for s in range(of.n_slots) if (of.name, s) not in held]
    # A story takes one slot; in an exempt list, an article that no other list wishes for is its
    # own story.
    shared = {a for of in layout.lists if not of.exempt for a, _ in wishes[of.name]}

    def column_of(of, article):
        own = of.exempt and article not in shared
        return ("article", article) if own else ("story", int(story[article]))

    columns = sorted({column_of(of, a) for of in layout.lists for a, _ in wishes[of.name]})
    taken = {("story", int(story[pin.live_index])) for pin in pins}
    taken |= {("article", pin.live_index) for pin in pins}
    banned: set[tuple[str, int]] = set()
    while True:
        cost = np.full((len(rows), len(columns) + len(rows)), NEVER)
        article_of = {}
        for i, (of, slot) in enumerate(rows):
            weight = of.priority * looked_at(examination, of.name, slot)
            fill = MINIMUM if slot < of.minimum else FILLED
            cost[i, len(columns) + i] = 0.0
            for article, worth in wishes[of.name]:
                column = column_of(of, article)
                article_of[of.name, column] = article
                if column not in taken and (of.name, article) not in banned:
                    cost[i, columns.index(column)] = -pay_of(weight * worth) - fill
        chosen = linear_sum_assignment(cost)[1]
        shown = [
            (cost[i, column], of.name, article_of[of.name, columns[column]])
            for i, ((of, _), column) in enumerate(zip(rows, chosen, strict=True))
            if column < len(columns)
        ]
        before = len(banned)
        for cap in caps:
            mine = [s for s in shown if cap.name in (None, s[1]) and cap.group[s[2]] >= 0]
            over, stays = set(), set()
            for group in {int(cap.group[article]) for _, _, article in mine}:
                n_pinned = sum(
                    cap.group[p.live_index] == group for p in pins if cap.name in (None, p.name)
                )
                here = [s for s in mine if cap.group[s[2]] == group]
                here.sort(key=lambda s: (s[0], layout.index(s[1])))  # of equal pay, list order
                kept = here[: max(cap.most - n_pinned, 0)]
                over |= {group} if len(kept) < len(here) else set()
                stays |= {column_of(lists[name], article) for _, name, article in kept}
            banned |= {
                (name, article)
                for name, found in wishes.items()
                for article, _ in found
                if cap.name in (None, name)
                and int(cap.group[article]) in over
                and column_of(lists[name], article) not in stays
            }
        if len(banned) == before:
            break
    page = {}
    for of in layout.lists:
        filled = iter([article for _, name, article in shown if name == of.name])
        slots = [None] * of.n_slots
        for pin in pins:
            if pin.name == of.name:
                slots[pin.slot] = pin.live_index
        page[of.name] = [next(filled, None) if a is None else a for a in slots]
    return {name: [a for a in articles if a is not None] for name, articles in page.items()}


def plain_page(builder, user, context, layout, editorial):
    """The page of `PageBuilder.page`, as long as no search has to be wider."""
    model = builder.model
    parts = score_parts(model.live, user, context)
    nothing, language = np.zeros(0, dtype=np.int64), builder.default_language(layout, context)
    scored = builder.scored(parts, user, context, nothing, layout, language)
    closed, story = scored.closed, model.story
    scores = total_score(score_parts(model.live, user, None), len(story))
    pins, stories = [], set()
    for pin in editorial.pins:
        of = next((of for of in layout.lists if of.name == pin.name), None)
        if of is None or pin.slot >= of.n_slots:
            continue
        if not closed[pin.live_index] and int(story[pin.live_index]) not in stories:
            pins.append(pin)
            stories.add(int(story[pin.live_index]))
    caps = (*builder.rankings.caps(layout), *editorial.caps)
    wishes = {}
    for of in layout.lists:
        barred = builder.rankings.barred(of, editorial, language)
        off = closed if barred is None else closed | barred
        own = [cap for cap in caps if cap.name in (None, of.name)]
        n = layout.n_page + len([p for p in editorial.pins if p.name in layout.names])
        if model.config.page.click_share:
            n = max(n, model.config.page.own_candidates)
        n = max(n, rankings.UNDER_CAPS) if own else n
        is_about = context is not None and of.row.follows_article
        chances = None if is_about else scores  # a list about the article keeps its own ranks
        wishes[of.name] = candidates(builder, scored, of, layout, off, editorial, n, own, chances)
    page = assigned(layout, wishes, story, caps, pins, builder.model.examination)
    return {
        of.name: in_order(builder, of, page[of.name], pins, context, editorial)
        for of in layout.lists
    }


def in_order(builder, of, shown, pins, context, editorial):
    """The articles of a list that is known by its order in that order; pins stay."""
    order = builder.rankings.order(of, builder.rankings.section_of(context))
    if not builder.model.config.page.click_share or not of.row.by_turn or order is None:
        return shown
    if boosts_of(of, editorial) is not None:
        return shown
    held = {pin.slot for pin in pins if pin.name == of.name}
    rank = {int(a): i for i, a in enumerate(order)}
    free = iter(sorted((a for i, a in enumerate(shown) if i not in held), key=rank.__getitem__))
    return [a if i in held else next(free) for i, a in enumerate(shown)]
