"""The settings of pages: what all layouts have in common, their lists, and the lists' filters."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from recsys.config_types import MOST_HOURS, MOST_SLOTS, Hours, Names, Positive, Settings, Slots
from recsys.errors import ConfigError
from recsys.languages import primary_language

Scorer = Literal[
    "personal", "similar", "popular", "expected", "rising", "important", "latest", "popular_in"
]
Title = Annotated[str, Meta(max_length=200)]
Priority = Annotated[float, Meta(gt=0, le=1000)]
Diversity = Annotated[float, Meta(ge=0, le=100)]
Chance = Annotated[float, Meta(ge=0, le=1)]
Limit = Annotated[int, Meta(ge=0, le=MOST_SLOTS)]
Language = Annotated[str, Meta(max_length=35)]


class PageConfig(Settings, frozen=True, kw_only=True):
    """What all layouts have in common."""

    n: Annotated[
        Slots, Meta(description="Slots of a list whose layout names no number of its own.")
    ] = 5
    n_latest: Annotated[Slots, Meta(description="The same for lists with the scorer `latest`.")] = 6
    story_similarity: Annotated[
        Positive,
        Meta(
            description="Live articles with at least this cosine are copies of the same story. A"
            " value above 1 finds no copies."
        ),
    ] = 0.75
    event_similarity: Annotated[
        Positive,
        Meta(
            description="Live articles with at least this cosine are the same story if they were"
            " published within event_hours of each other."
        ),
    ] = 0.65
    event_hours: Annotated[
        float,
        Meta(ge=0, le=MOST_HOURS, extra={"unit": "hours"}, description="See event_similarity."),
    ] = 24.0
    minimum: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_SLOTS,
            description="When articles run out, each list fills this many slots before another"
            " list fills more.",
        ),
    ] = 3
    click_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="How far the chance that this user clicks an article decides which of its"
            " best candidates a list shows and where, instead of their rank in the list alone. At"
            " 0 only ranks and priorities count.",
        ),
    ] = 0.9
    own_candidates: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="How many of its best candidates a list chooses from by clicks. With"
            " few, its lists keep to their purpose, and a page gets fewer clicks; from about 20 on"
            " both hardly change.",
        ),
    ] = 20
    explore: Annotated[
        Chance,
        Meta(
            description="How likely the last slot of a list is to hold an article drawn at random"
            " from all that the list may show, for lists whose layout names no chance of its own."
            " At .2 a page of EB-NeRD gets 2.5 percent fewer clicks, and six times as many articles"
            " are shown to any user."
        ),
    ] = 0.0
    language: Annotated[
        Language,
        Meta(
            description="The language of the site, such as `de`: that of a page without an article"
            " being read, and beside an article that does not say its language. Without it, the"
            " language of most live articles."
        ),
    ] = ""
    languages: Annotated[
        dict[str, Language],
        Meta(
            description="The language of a layout's pages, by the name of the layout, such as"
            ' `{ front_fr = "fr" }`: whatever article is being read.'
        ),
    ] = {}

    def __post_init__(self) -> None:
        """Check every value, and that languages are codes."""
        super().__post_init__()
        codes = {f"languages.{name}": code for name, code in self.languages.items()}
        if self.language:
            codes["language"] = self.language
        for name, code in codes.items():
            if not primary_language(code):
                raise ConfigError(f"{name} must be a code such as `de` or `de-AT`, got {code!r}")


class FilterConfig(Settings, frozen=True, kw_only=True):
    """Which live articles a list may show; a filter that is left out lets all articles pass."""

    section: Annotated[Names, Meta(description="Sections, by name.")] = ()
    tag: Annotated[Names, Meta(description="Tags; an article passes with any of them.")] = ()
    language: Annotated[
        Names, Meta(description="Languages, such as `en`; `en` also lets `en-GB` pass.")
    ] = ()
    source: Annotated[
        Names, Meta(description="Hosts of the articles' addresses, without `www.`.")
    ] = ()
    premium: Annotated[
        bool | None, Meta(description="True for premium articles only, false for free ones only.")
    ] = None
    max_age_hours: Annotated[
        Hours | None,
        Meta(
            description="Greatest age at the time that the run knows of.",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Take one name for a list of one, then check every value."""
        for name in ("section", "tag", "language", "source"):
            if isinstance(value := getattr(self, name), str):
                msgspec.structs.force_setattr(self, name, (value,))
        super().__post_init__()


class ListConfig(Settings, frozen=True, kw_only=True):
    """One list of a layout.

    What is left out is taken from the shipped list of that name, otherwise from the scorer.
    """

    title: Annotated[Title | None, Meta(description="Title that readers see above the list.")] = (
        None
    )
    scorer: Annotated[
        Scorer | None,
        Meta(
            description="What ranks the articles: `personal` (this user and the article being"
            " read), `similar` (text like the article being read), `popular` (clicks of the last"
            " hours), `expected` (clicks expected in the next ones), `rising` (more clicks than"
            " usual), `important`, `latest` (newest, those of the section being read first),"
            " `popular_in` (clicks, those of the section being read first)."
        ),
    ] = None
    slots: Annotated[
        Slots | None,
        Meta(description="Slots of the list; see page.n and page.n_latest."),
    ] = None
    priority: Annotated[
        Priority | None,
        Meta(
            description="What the list is worth to the page where two lists want the same article.",
        ),
    ] = None
    minimum: Annotated[Limit | None, Meta(description="See page.minimum.")] = None
    max_of_section: Annotated[
        Limit | None,
        Meta(
            description="Most articles of one section in the list; 0 for any number. It gives way"
            " where articles run out.",
        ),
    ] = None
    diversity: Annotated[
        Diversity | None,
        Meta(
            description="How much an article loses if it equals a better candidate (a cosine of"
            " 1), as a share of the distance in score between the best and the last candidate of"
            " the page.",
        ),
    ] = None
    exempt: Annotated[
        bool | None,
        Meta(
            description="Whether the list may repeat a story of another list. Even there an"
            " article appears only once on a page."
        ),
    ] = None
    explore: Annotated[Chance | None, Meta(description="See page.explore.")] = None
    filter: Annotated[FilterConfig, Meta(description="Which articles the list may show.")] = (
        FilterConfig()
    )
