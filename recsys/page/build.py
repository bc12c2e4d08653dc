"""Pages out of scores: the lists of a layout composed, slots, reasons."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from recsys.blend.linear import (
    article_side,
    personal_parts,
    recent_weight_table,
    score_parts,
    taste_in_vectors,
    total_score,
    user_sides,
)
from recsys.blend.live_model import LiveModel, PageModel, UserState
from recsys.blend.signal_table import signal_names
from recsys.computed_once import computed_once
from recsys.kernels import pages as kernels
from recsys.page import rankings
from recsys.page.compose import FILLED, MINIMUM, NO_EXAMINATION, Cap, examination_at
from recsys.page.list_table import ARTICLE, FRONT, SCORERS, Layout, PageList, layouts_of
from recsys.page.rankings import Rankings, Scored, boosts_of
from recsys.page.reasons import (
    BECAUSE_READ,
    CHOSEN,
    CODES,
    closest_read,
    code_table,
    leading_signal,
    reason_code,
)
from recsys.page.rules import NO_RULES, Editorial
from recsys.page.slots import Pages, Slot, slots_of_page

OFTEN = 3  # reads of a section, so that it is one that a user often reads
PLANS_KEPT = 256  # for pages of a layout, beside a section, under some rules
NOTHING = np.zeros(0, dtype=np.int64)

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Parts = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class UserBlock:
    """Some users, as pages see them.

    Attributes
    ----------
    sides : array of float32, shape (n_users, n_features)
        Their side of products with articles, see `recsys.blend.linear.user_sides`.
    reads_start, reads : array of int64
        Latest reads of each, newest first, as known indices, end to end.
    read_start, read : array of int64
        Live articles that each has read, end to end.
    """

    sides: Floats
    reads_start: Ints
    reads: Ints
    read_start: Ints
    read: Ints

    @classmethod
    def of(cls, users: Sequence[UserState], live: LiveModel) -> "UserBlock":
        """Return some users of a run, at least one."""

        def ends(parts: Sequence[Ints]) -> Ints:
            return np.array([0, *accumulate(map(len, parts))])

        reads, read = [user.reads for user in users], [user.read for user in users]
        sides = np.stack([_side(user, live) for user in users])
        return cls(sides, ends(reads), np.concatenate(reads), ends(read), np.concatenate(read))

    def part(self, begin: int, end: int) -> "UserBlock":
        """Return the users from `begin` to `end`."""
        reads, read = self.reads_start[begin : end + 1], self.read_start[begin : end + 1]
        return UserBlock(
            self.sides[begin:end],
            reads - reads[0],
            self.reads[reads[0] : reads[-1]],
            read - read[0],
            self.read[read[0] : read[-1]],
        )


def _side(user: UserState, live: LiveModel) -> Floats:
    """Return a user's side of products with articles, shape (n_features,)."""
    side: Floats = user_sides(live, user.factors, taste_in_vectors(live, user.reads), user.affinity)
    return side


class Built:
    """One page, and what it was made from; scores are only worked out when they are asked for.

    Attributes
    ----------
    layout, language
        Of the page; the language as a number, see `PageBuilder.page`.
    lists
        The slots of each list.
    notes
        By list: how it was filled against its own limits, or why it is short.
    value, bound
        See `recsys.kernels.pages.Pages`.
    """

    def __init__(
        self,
        builder: "PageBuilder",
        request: tuple[UserState | None, int | None, Ints],
        layout: Layout,
        language: int,
        lists: dict[str, list[Slot]],
        pages: Pages,
    ) -> None:
        self._builder, self._request = builder, request
        self.layout, self.lists, self.notes = layout, lists, pages.notes[0]
        self.language = language
        self.value, self.bound = float(pages.value[0]), float(pages.bound[0])

    @computed_once
    def parts(self) -> Parts:
        """Return the weighted signals of every live article on this page."""
        user, context, _ = self._request
        return score_parts(self._builder.model.live, user, context)

    @computed_once
    def closed(self) -> NDArray[np.bool_]:
        """Return the live articles that must not be on the page, shape (n_live,).

        The same as `Scored.closed`, without the scores.
        """
        return self._builder.closed(*self._request)

    @computed_once
    def scored(self) -> Scored:
        """Return what each list thinks of every live article, and which are closed."""
        return self._builder.scored(self.parts, *self._request, self.layout, self.language)


class PageBuilder:
    """Makes pages of one run; what is the same for all users is worked out once.

    `page` makes one page; `block` makes the pages of many users without an article being read, and
    gives what `page` would give each of them.

    A list ranks all live articles, so it is filled from its own ranking, however far down. Where
    that would break the layout's own cap (so many of a section in a list), the cap gives way;
    where live, unread, allowed stories run out, each list keeps its minimum before another gets
    more, and the other slots stay empty. Either way the page has a note.

    Parameters
    ----------
    model
        The run.

    Raises
    ------
    ValueError
        If an index in the run is out of range, or a number is not finite.
    """

    def __init__(self, model: PageModel) -> None:
        self.model = model
        live, n_live = model.live, len(model.story)
        self.layouts = layouts_of(model.config)
        static = live.static_parts()
        self._static = total_score(static, n_live)
        # Static signals less their mean say what sets an article apart; otherwise "popular"
        # would be said of every article. A signal that counts against an article is no reason,
        # nor is one that is not in the table and has no words for users.
        self._centred = {
            name: part - part.mean() if live.weights[name] > 0 else part - np.inf
            for name, part in static.items()
            if len(part) and name not in live.own_names()
        }
        self.rankings = Rankings(model)
        self._article_side = article_side(live, model.n_categories)
        self._anonymous = np.zeros(len(self._article_side), dtype=np.float32)
        self._run = self._kernel_run()
        self._plan = lru_cache(maxsize=PLANS_KEPT)(self._plan_for)

    def layout(self, name: str | None, *, has_context: bool) -> Layout:
        """Return a layout by name; without a name that of article pages or of the front page.

        Where no front page is laid out, it is laid out as an article page.

        Raises
        ------
        ValueError
            If there is no layout of that name.
        """
        if name is None:
            name = FRONT if not has_context and FRONT in self.layouts else ARTICLE
        if name not in self.layouts:
            known = ", ".join(self.layouts)
            raise ValueError(f"layout must be one of {known}, got {reprlib.repr(name)}")
        return self.layouts[name]

    def _kernel_run(self) -> kernels.Run:
        """Return the run as the kernels know it."""
        model, live = self.model, self.model.live
        n_static = len(signal_names("static"))
        centred = np.zeros((n_static, len(model.story)), dtype=np.float32)
        centred[: len(self._centred)] = list(self._centred.values()) or 0.0
        return kernels.Run(
            kernels.RunArrays(
                story=model.story,
                live_rows=live.live_rows,
                live_index_of=live.live_index_by_known(),
                category=live.category,
                similar=(live.similar.start, live.similar.column, live.similar.value),
                item_item=(live.item_item.start, live.item_item.column, live.item_item.value),
                article_side=self._article_side,
                n_factors=live.factors.shape[1],
                vectors=live.vectors,
                fixed=self._static,
                centred=centred,
                importance=model.importance,
                rise=model.rise,
                recent_weight=recent_weight_table(live),
                weights=live.weights,
                importance_personal=live.blend.important_personal,
                story_similarity=model.config.page.story_similarity,
                because_read=CODES.index(BECAUSE_READ),
                chosen=CODES.index(CHOSEN),
            )
        )

    def lifted_by(self) -> list[tuple[str, ...]]:
        """Return, by live index, the codes of what lifts an article for all users.

        They are the reasons of the static signals that lift it above the average live article, the
        one that lifts most first.
        """
        names, personal = list(self._centred), SCORERS["personal"]

        @cache
        def codes(lifting: tuple[int, ...], has_section: bool) -> tuple[str, ...]:
            found = (
                reason_code(personal, names[i], has_section=has_section, rises=False)
                for i in lifting
            )
            return tuple(dict.fromkeys(found))

        lifts = np.array([self._centred[name] for name in names]).reshape(len(names), -1)
        best_first = np.argsort(-lifts, axis=0, kind="stable").T.tolist()
        n_lifting = (lifts > 0).sum(axis=0).tolist()
        has_section = (self.rankings.section > 0).tolist()
        of_articles = zip(best_first, n_lifting, has_section, strict=True)
        return [codes(tuple(order[:n]), in_section) for order, n, in_section in of_articles]

    def default_language(self, layout: Layout, context: int | None) -> int:
        """Return the number of the language that a page shows articles in by default."""
        return self.rankings.language_number(self.rankings.language_of(layout, context))

    def _plan_for(
        self, layout: Layout, section: int, language: int, editorial: Editorial
    ) -> kernels.Plan:
        """Return what pages in a language and beside a section are to hold under some rules."""
        ranked = self.rankings
        lists = [
            kernels.PlanList(
                kernel_score=of.row.kernel_score,
                n_slots=of.n_slots,
                minimum=of.minimum,
                priority=of.priority,
                examination=examination_at(
                    self.model.examination.get(of.name, NO_EXAMINATION), of.n_slots
                ),
                diversity=of.diversity,
                exempt=of.exempt,
                values=ranked.values[of.row.values] if of.row.values else None,
                order=ranked.order(of, section),
                by_turn=of.row.by_turn,
                follows_article=of.row.follows_article,
                barred=ranked.barred(of, editorial, language),
                boosts=boosts_of(of, editorial),
                code=code_table(of.row),
            )
            for of in layout.lists
        ]
        own = ranked.caps(layout)
        caps = [
            (-1 if cap.name is None else layout.index(cap.name), cap.group, cap.most)
            for cap in (*own, *editorial.caps)
            if cap.name is None or cap.name in layout.names
        ]
        return kernels.Plan(
            self._run,
            lists,
            caps,
            len(own),
            [
                (layout.index(pin.name), pin.slot, pin.live_index)
                for pin in editorial.pins
                if pin.name in layout.names
            ],
            spare=rankings.SPARE,
            under_caps=rankings.UNDER_CAPS,
            farther=rankings.FARTHER,
            filled=FILLED,
            least=MINIMUM,
            click_share=self.model.config.page.click_share,
            n_own=self.model.config.page.own_candidates,
        )

    def page(
        self,
        user: UserState | None,
        context: int | None,
        layout: Layout,
        blocked: Ints = NOTHING,
        editorial: Editorial = NO_RULES,
        language: int | None = None,
    ) -> Built:
        """Return the lists of one page.

        Parameters
        ----------
        user
            None for an anonymous user.
        context
            Known index of the article being read, None on a front page. Lists of the latest and
            the most popular articles of a section are of its section, as far as that reaches.
        layout
            The lists of the page.
        blocked
            Live articles to leave out, beside those read and the article itself.
        editorial
            What editors' rules ask.
        language
            Number of the language that its articles are in, 0 for any; None for the default of
            `Rankings.language_of`. An article that does not say its language may be on every page.

        Raises
        ------
        ValueError
            If an index is out of range or a number is not finite.
        """
        at = -1 if context is None else context
        if user is None:
            of = kernels.One(self._anonymous, NOTHING, NOTHING, False, at, blocked)
        else:
            side = _side(user, self.model.live)
            of = kernels.One(side, user.reads, user.read, True, at, blocked)
        if language is None:
            language = self.default_language(layout, context)
        plan = self._plan(layout, self.rankings.section_of(context), language, editorial)
        pages = self._with_notes(self._run.page(plan, of), layout, language, editorial.caps)
        lists = slots_of_page(pages.slots[0], layout)
        if editorial.touched:
            lists = {
                name: [s._replace(rules=editorial.touching(name, s.live_index)) for s in slots]
                for name, slots in lists.items()
            }
        return Built(self, (user, context, blocked), layout, language, lists, pages)

    def block(self, users: UserBlock, layout: Layout) -> Pages:
        """Return the pages of users without an article being read, under no rules."""
        of = kernels.Block(
            users.sides @ self._article_side,
            users.sides,
            users.reads_start,
            users.reads,
            users.read_start,
            users.read,
        )
        language = self.default_language(layout, None)
        plan = self._plan(layout, 0, language, NO_RULES)
        return self._with_notes(self._run.block(plan, of), layout, language, ())

    def _with_notes(
        self, pages: kernels.Pages, layout: Layout, language: int, caps: Sequence[Cap]
    ) -> Pages:
        notes: list[dict[str, str]] = [{} for _ in pages.how]
        for page in np.flatnonzero(pages.how).tolist():
            how, n_closed = int(pages.how[page]), int(pages.n_closed[page])
            if how & kernels.CAPS_GAVE_WAY:
                for of in layout.lists:
                    if of.max_of_section:
                        notes[page][of.name] = "too few sections left: more of one than usual"
            if how & kernels.SHORT_OF_ARTICLES:
                filled = slots_of_page(pages.slots[page], layout)
                for of in layout.lists:
                    if len(filled[of.name]) < of.n_slots:
                        n_filled = len(filled[of.name])
                        short = self._short(of, n_filled, n_closed, language, caps)
                        notes[page][of.name] = short
        return Pages(pages.slots, notes, pages.value, pages.bound)

    def _short(
        self, of: PageList, n_filled: int, n_closed: int, language: int, caps: Sequence[Cap]
    ) -> str:
        """Return why a list is short."""
        said = f"{n_filled} of {of.n_slots} slots, no candidates left: of {len(self.model.story)}"
        said += f" live articles {n_closed} are read, expired, or of the story being read"
        if of.key in self.model.filters:
            said += f"; {int(self.model.filters[of.key].sum())} pass the filter of the list"
        if language and not of.filter.language:
            n_in = int(self.rankings.in_language(language).sum())
            said += f"; {n_in} may be on a page in “{self.model.languages[language]}”"
        if of.scorer == "similar":
            said += "; the list shows only articles like the one being read"
        for cap in caps:
            if cap.name in (None, of.name):
                said += f"; rule {cap.rule_id} allows {cap.most} of a group"
        return said

    def scored(
        self,
        parts: Parts,
        user: UserState | None,
        context: int | None,
        blocked: Ints,
        layout: Layout,
        language: int,
    ) -> Scored:
        """Return what each list of a page thinks of the live articles.

        The kernels compute the same for themselves; this is for explanations.
        """
        model, live = self.model, self.model.live
        scores = total_score(parts, len(model.story))
        values: dict[str, Floats] = {}
        for of in layout.lists:
            if of.row.values:
                values[of.name] = self.rankings.values[of.row.values]
            elif of.scorer == "important":
                personal = scores - self._static
                share = live.blend.important_personal if user or context is not None else 0.0
                values[of.name] = model.importance + np.float32(share) * personal
            elif of.scorer == "similar":
                similar = np.full(len(model.story), -np.inf, dtype=np.float32)
                if context is not None:
                    column, value = live.similar.row(context)
                    similar[column] = value
                values[of.name] = similar
            else:
                values[of.name] = scores
        return Scored(values, self.closed(user, context, blocked), context, language)

    def closed(
        self, user: UserState | None, context: int | None, blocked: Ints
    ) -> NDArray[np.bool_]:
        """Return which live articles must not be on a page, nor any of their story."""
        story = self.model.story
        closed = np.zeros(len(story), dtype=bool)
        closed[story[blocked]] = True
        if user is not None:
            closed[story[user.read]] = True
        if context is not None:
            live = self.model.live
            here = live.live_index_of([context])
            column, value = live.similar.row(context)
            same = column[value >= self.model.config.page.story_similarity]
            closed[story[here[here >= 0]]] = True
            closed[story[same]] = True
        result: NDArray[np.bool_] = closed[story]
        return result

    def reason(self, user: UserState, article: int) -> tuple[str, int]:
        """Return why a live article is for this user rather than for another.

        What it owes to the user comes first, the signal that lifts it most; what lifts it for all
        users is the reason only where nothing personal does. A section that the user has read
        fewer than `OFTEN` articles of is not called one that they often read.

        Returns
        -------
        code, because
            The code of the reason, and the known index of the read that it names, -1 for none.
        """
        live = self.model.live
        parts = personal_parts(live, user, article)
        section = live.category[live.live_rows[article]]
        if np.count_nonzero(live.category[user.reads] == section) < OFTEN:
            parts.pop("affinity")
        lifting = {name: part for name, part in parts.items() if part[0] > 0}
        leads = leading_signal(lifting or {n: of[[article]] for n, of in self._centred.items()})
        code = reason_code(
            SCORERS["personal"],
            leads,
            has_section=bool(self.rankings.section[article] > 0),
            rises=bool(self.model.rise[article] > 0),
        )
        if code != BECAUSE_READ:
            return code, -1
        return code, closest_read(self.model.live, user.reads, article, leads)
