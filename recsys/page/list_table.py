"""The table of lists: one row each, the scorers that rank them, and the layouts made of them.

A layout is the lists of one page, in their order. `[layouts.NAME]` in `recsys.toml` names the
lists of a layout; a list with the name of a shipped row takes from it what the settings leave out.
Page composition, rules, reasons, explanations, exports, evaluation and kernels read these rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeVar

from recsys.blend.signal_table import signal_weights
from recsys.checked import suggestion
from recsys.computed_once import computed_once
from recsys.config import Config
from recsys.config_page import FilterConfig, ListConfig, Scorer
from recsys.errors import ConfigError
from recsys.kernels.library import library
from recsys.languages import primary_language
from recsys.page.translations import translated

T = TypeVar("T")

ARTICLE, FRONT = "article", "front"  # layouts that are asked for without a name

# Orders that hold on all pages, or on all pages beside one section.
Order = Literal["expected", "risen", "popular", "latest", "popular_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerRow:
    """How a scorer ranks the live articles.

    Attributes
    ----------
    kernel_score
        The score that the kernels rank by, a constant of `kernels.h`.
    values
        For a given score, the array of it: "expected", "rise", "popularity" or "recency".
    order
        The order that the list shows, where it is the same for all users.
    by_turn
        Whether the order alone counts, not the distances between scores.
    follows_article
        Whether the list is about the article being read, where there is one. It then keeps its own
        ranks: no log says what readers of an article click among all live ones.
    reason
        Code of the reason; "" where the leading signal gives it.
    purpose
        What the list is judged by in an evaluation; "" for nothing of its own.
    gain_hours
        In so many hours after the list was made, an evaluation counts what `purpose` names.
    moves
        Whether the list must change with the hours, so that one which does not is reported.
    """

    kernel_score: int
    values: Literal["", "expected", "rise", "popularity", "recency"] = ""
    order: Order | None = None
    by_turn: bool = False
    follows_article: bool = False
    reason: str = ""
    purpose: str = ""
    gain_hours: int = 0
    moves: bool = False


SCORERS: Mapping[Scorer, ScorerRow] = MappingProxyType(
    {
        "personal": ScorerRow(kernel_score=library.PERSONAL_SCORE, follows_article=True),
        "similar": ScorerRow(
            kernel_score=library.SIMILARITY_SCORE, follows_article=True, reason="related"
        ),
        "popular": ScorerRow(
            kernel_score=library.GIVEN_SCORE,
            values="popularity",
            order="popular",
            reason="popular",
            purpose="clicks in the next hour",
            gain_hours=1,
        ),
        "expected": ScorerRow(
            kernel_score=library.GIVEN_SCORE,
            values="expected",
            order="expected",
            reason="popular_now",
            purpose="clicks in the next hour",
            gain_hours=1,
            moves=True,
        ),
        "rising": ScorerRow(
            kernel_score=library.GIVEN_SCORE,
            values="rise",
            order="risen",
            reason="popular_now",
            purpose="clicks in the next hour",
            gain_hours=1,
            moves=True,
        ),
        "important": ScorerRow(
            kernel_score=library.IMPORTANCE_SCORE,
            reason="must_read",
            purpose="reading time of the next day",
            gain_hours=24,
        ),
        "latest": ScorerRow(
            kernel_score=library.GIVEN_SCORE,
            values="recency",
            order="latest",
            by_turn=True,
            reason="new",
            moves=True,
        ),
        "popular_in": ScorerRow(
            kernel_score=library.GIVEN_SCORE,
            values="popularity",
            order="popular_in",
            by_turn=True,
            reason="popular",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """One list, as it is shipped.

    Attributes
    ----------
    name
        In settings, pages, rules and logs.
    title
        Above the list, in English; `recsys.page.translations` has it in other languages.
    scorer
        What ranks its articles.
    priority
        What the list is worth to the page where two lists want the same article. You May Also
        Like comes first: with 12 own candidates its hits on EB-NeRD are .38 at 1 and .43 at 1.6,
        with 1.38 clicks a page either way.
    max_of_section
        Most articles of one section, 0 for any number.
    diversity
        See `recsys.config.ListConfig`.
    exempt
        Whether it may repeat a story of another list.
    """

    name: str
    title: str
    scorer: Scorer
    priority: float = 1.0
    max_of_section: int = 0
    diversity: float = 0.0
    exempt: bool = False


LISTS: tuple[ListRow, ...] = (
    ListRow(
        name="you_may_also_like",
        title="You May Also Like",
        scorer="personal",
        priority=1.6,
        diversity=0.2,
    ),
    ListRow(
        name="popular_now",
        title="Popular Now",
        scorer="expected",
    ),
    ListRow(
        name="must_reads",
        title="Must-Reads",
        scorer="important",
        max_of_section=2,
    ),
    ListRow(
        name="latest_stories",
        title="Latest Stories",
        scorer="latest",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageList:
    """One list of a layout, with every setting decided.

    Attributes
    ----------
    key
        "layout.list": the name of its filter in a run.
    n_slots, minimum
        Its slots, and how many it keeps before another list gets more.
    explore
        How likely its last slot is to hold an article drawn at random.
    filter
        Which articles it may show.
    has_own_title
        Whether the settings give its title, which is then the same in every language.
    name, english_title, scorer, priority, max_of_section, diversity, exempt
        See `ListRow`.
    """

    key: str
    name: str
    english_title: str
    has_own_title: bool
    scorer: Scorer
    n_slots: int
    priority: float
    minimum: int
    max_of_section: int
    diversity: float
    exempt: bool
    explore: float
    filter: FilterConfig

    @property
    def row(self) -> ScorerRow:
        """Return the row of its scorer."""
        return SCORERS[self.scorer]

    @property
    def has_filter(self) -> bool:
        """Return whether it may not show every article."""
        return self.filter != FilterConfig()

    def title(self, language: str = "en") -> str:
        """Return the title in a language (see `recsys.languages`), in English where unknown."""
        if self.has_own_title:
            return self.english_title
        return translated(self.english_title, language)


@dataclass(frozen=True, eq=False)
class Layout:
    """The lists of one page, in their order. Equal to itself alone, so that it is a cheap key.

    `language` is that of its pages (see `recsys.languages`), "" where the settings give none.
    """

    name: str
    lists: tuple[PageList, ...]
    language: str

    @computed_once
    def names(self) -> tuple[str, ...]:
        """Return the names of the lists."""
        return tuple(of.name for of in self.lists)

    @computed_once
    def explore(self) -> Mapping[str, float]:
        """Return by list how likely its last slot is to be drawn at random; {} where none is."""
        return MappingProxyType({of.name: of.explore for of in self.lists if of.explore > 0})

    @computed_once
    def n_page(self) -> int:
        """Return the number of slots of the page."""
        return sum(of.n_slots for of in self.lists)

    def resized(self, slots: Mapping[str, int]) -> "Layout":
        """Return the layout with other numbers of slots for some lists."""
        return Layout(
            self.name,
            tuple(replace(of, n_slots=slots.get(of.name, of.n_slots)) for of in self.lists),
            self.language,
        )

    def index(self, name: str) -> int:
        """Return the position of a list, -1 if the layout does not have it."""
        return self.names.index(name) if name in self.names else -1

    def of_scorer(self, scorer: Scorer) -> PageList | None:
        """Return the first list of a scorer, None if the layout has none."""
        return next((of for of in self.lists if of.scorer == scorer), None)


def layouts_of(config: Config) -> dict[str, Layout]:
    """Return the layouts of the settings, and `article` with the shipped lists unless it is set.

    Raises
    ------
    ConfigError
        If a list that is not shipped names no scorer.
    """
    shipped = {row.name: ListConfig() for row in LISTS}
    return {
        name: Layout(
            name,
            tuple(_page_list(config, name, key, of) for key, of in lists.items()),
            primary_language(config.page.languages.get(name, "")),
        )
        for name, lists in ({ARTICLE: shipped} | config.layouts).items()
    }


def require_known_names(config: Config) -> None:
    """Check that settings name signals, scorers and layouts that there are, before any work.

    Raises
    ------
    ConfigError
        If they do not.
    """
    signal_weights(config.blend)
    layouts = layouts_of(config)
    for name in config.page.languages:
        if name not in layouts:
            raise ConfigError(f"page.languages.{name}: no such layout{suggestion(name, layouts)}")


def list_names(config: Config) -> tuple[str, ...]:
    """Return the names of the lists of all layouts and of the shipped ones, each once."""
    names = [name for lists in config.layouts.values() for name in lists]
    return tuple(dict.fromkeys([row.name for row in LISTS] + names))


def most_slots(config: Config) -> dict[str, int]:
    """Return the most slots that any layout has for a list, by the name of the list."""
    most: dict[str, int] = {}
    for layout in layouts_of(config).values():
        for of in layout.lists:
            most[of.name] = max(of.n_slots, most.get(of.name, 0))
    return most


def _page_list(config: Config, layout: str, name: str, of: ListConfig) -> PageList:
    row = next((row for row in LISTS if row.name == name), None)
    scorer = of.scorer or (row.scorer if row is not None else None)
    if scorer is None:
        raise ConfigError(
            f"layouts.{layout}.{name}: scorer is required, for no list of that name is shipped"
            f" (those are {', '.join(row.name for row in LISTS)}); scorers: {', '.join(SCORERS)}"
        )
    base = row or ListRow(name=name, title=name.replace("_", " ").capitalize(), scorer=scorer)
    default_n = config.page.n_latest if scorer == "latest" else config.page.n
    return PageList(
        key=f"{layout}.{name}",
        name=name,
        english_title=of.title or base.title,
        has_own_title=bool(of.title),
        scorer=scorer,
        n_slots=_first(of.slots, default_n),
        priority=_first(of.priority, base.priority),
        minimum=_first(of.minimum, config.page.minimum),
        max_of_section=_first(of.max_of_section, base.max_of_section),
        diversity=_first(of.diversity, base.diversity),
        exempt=_first(of.exempt, base.exempt),
        explore=_first(of.explore, config.page.explore),
        filter=of.filter,
    )


def _first(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
