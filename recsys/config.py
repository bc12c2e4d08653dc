"""All settings: what each one means, its default, its allowed range; see `recsys.config_file`.

A field's annotation carries its range and description: the checks, the error messages, `recsys
config` and docs/settings.md all read them there. Variants are made by `msgspec.structs.replace`.
An unknown table or key in the file is an error, since a misspelt setting that is silently ignored
is worse than none. Numbers without another source are ours; `recsys evaluate` judges them.
"""

import hashlib
import re
from datetime import tzinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from recsys.checked import check_fields, suggestion
from recsys.errors import ConfigError
from recsys.languages import primary_language
from recsys.rows import FIELDS, Kind

N_THREADS = 2  # of sparse products: rows are independent, the same result on any number

MOST_SLOTS = 100  # in one list of a page
MOST_LISTS = 16  # of one layout
MOST_LAYOUTS = 32

Scorer = Literal["personal", "similar", "popular", "rising", "important", "latest", "popular_in"]
Names = tuple[str, ...]

Count = Annotated[int, Meta(ge=1)]
Slots = Annotated[int, Meta(ge=1, le=MOST_SLOTS)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Days = Annotated[float, Meta(gt=0, extra={"unit": "days"})]
Hours = Annotated[float, Meta(gt=0, extra={"unit": "hours"})]
Title = Annotated[str, Meta(max_length=200)]
Priority = Annotated[float, Meta(gt=0, le=1000)]
Diversity = Annotated[float, Meta(ge=0, le=100)]
Weight = Annotated[float, Meta(ge=-1e6, le=1e6)]
Limit = Annotated[int, Meta(ge=0, le=MOST_SLOTS)]
Language = Annotated[str, Meta(max_length=35)]
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of settings: checks each value against its annotation.

    Raises
    ------
    ConfigError
        If a value is of the wrong type, outside its range, NaN or infinite.
    """

    def __post_init__(self) -> None:
        """Check every value; whole numbers become floats where the setting is one."""
        try:
            check_fields(self)
        except ValueError as error:
            raise ConfigError(str(error)) from error


class DataConfig(Settings, frozen=True, kw_only=True):
    """Which part of the store a nightly run uses."""

    window_days: Annotated[
        Days, Meta(description="Clicks and impressions older than this are not read.")
    ] = 30.0
    max_age_hours: Annotated[
        Hours,
        Meta(
            description="An article is live for this long after its publication (or, if that"
            " is unknown, after its first click or impression)."
        ),
    ] = 72.0
    active_hours: Annotated[
        float,
        Meta(
            ge=0,
            extra={"unit": "hours"},
            description="An older article stays live if a user clicked it this recently.",
        ),
    ] = 24.0
    require_title: Annotated[
        bool,
        Meta(
            description="Only an article with a title is live, so that ids which clicks and"
            " impressions name (front pages, searches, videos) are not recommended. Set it to"
            " false for logs of ids alone, without articles."
        ),
    ] = True
    max_clicks_per_hour: Annotated[
        Count,
        Meta(description="A user with more clicks in one hour counts as a bot and is left out."),
    ] = 120
    max_clicks_per_day: Annotated[
        Count,
        Meta(
            description="A user with more clicks in one day (UTC) counts as a bot and is left out."
        ),
    ] = 600
    max_clicks_per_article: Annotated[
        Count,
        Meta(
            description="A user with more clicks on one article in one day (UTC) counts as a bot"
            " and is left out."
        ),
    ] = 100
    keep_days: Annotated[
        float,
        Meta(
            ge=0,
            extra={"unit": "days"},
            description="After each nightly run the store deletes clicks and impressions older"
            " than this. 0 keeps them all; any other value must be at least window_days.",
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        """Check every value, and that the store keeps what the window reads."""
        super().__post_init__()
        if 0 < self.keep_days < self.window_days:
            raise ConfigError(
                f"keep_days must be 0 or at least window_days ({self.window_days:g}),"
                f" got {self.keep_days:g}"
            )


class TextConfig(Settings, frozen=True, kw_only=True):
    """How text becomes vectors."""

    n_features: Annotated[
        int,
        Meta(
            ge=1,
            le=2**31 - 1,
            description="Hash buckets for terms. At 4194304 (2**22), two of 100,000 distinct"
            " terms share a bucket with about one other term in each hundred.",
        ),
    ] = 2**22
    title_weight: Annotated[
        Positive, Meta(description="How often a word of the title counts against one of the body.")
    ] = 3.0
    category_weight: Annotated[
        NotNegative, Meta(description="How often the section's name counts, as one more term.")
    ] = 2.0
    n_similar: Annotated[Count, Meta(description="Similar live articles kept per article.")] = 100
    n_rank_terms: Annotated[
        Count,
        Meta(
            description="The ranking head compares an article with a user's reads by this many of"
            " its heaviest terms."
        ),
    ] = 64
    min_similarity: Annotated[
        NotNegative, Meta(description="Articles with a cosine below this are not called similar.")
    ] = 0.02


class CollaborativeConfig(Settings, frozen=True, kw_only=True):
    """The collaborative model: implicit's parameters under implicit's names."""

    factors: Annotated[Count, Meta(description="Factors of AlternatingLeastSquares.")] = 32
    regularization: Annotated[
        NotNegative, Meta(description="Regularization of AlternatingLeastSquares.")
    ] = 0.05
    iterations: Annotated[Count, Meta(description="Iterations of AlternatingLeastSquares.")] = 10
    random_state: Annotated[
        Seed, Meta(description="Seed of the first factors of AlternatingLeastSquares.")
    ] = 42
    alpha: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6 - 1,
            description="Confidence that a fresh click has on top of the 1 of every click.",
        ),
    ] = 10.0
    half_life_hours: Annotated[
        Hours, Meta(description="A click of this age has half of that extra confidence.")
    ] = 72.0
    full_dwell_seconds: Annotated[
        Seconds,
        Meta(
            description="A click with this reading time has full weight; half the time has half"
            " the weight, but never less than a fifth. A click without a reading time weighs as"
            " much as the median of those that have one."
        ),
    ] = 30.0
    min_users: Annotated[
        Count,
        Meta(description="An article with fewer users is cold: its factors come from its text."),
    ] = 3
    n_item_item: Annotated[
        Count, Meta(description="Articles kept per article as read together with it.")
    ] = 50


class PopularityConfig(Settings, frozen=True, kw_only=True):
    """What counts as popular, as clicked when shown, and as rising."""

    half_life_hours: Annotated[
        Hours,
        Meta(description="A click of this age counts half in the popularity signal of the blend."),
    ] = 3.0
    recency_half_life_hours: Annotated[
        Hours, Meta(description="An article of this age has half the recency of a new one.")
    ] = 3.0
    ctr_half_life_hours: Annotated[
        Hours,
        Meta(
            description="A click or impression of this age counts half in the click-through rate."
        ),
    ] = 24.0
    ctr_prior_views: Annotated[
        Positive,
        Meta(
            description="Views at the average click-through rate that are added to each article's"
            " own, so that few views cannot make an extreme rate."
        ),
    ] = 20.0
    now_half_life_hours: Annotated[
        Hours,
        Meta(description='A click of this age counts half in the "now" of Popular Now.'),
    ] = 2.0
    expected_half_life_hours: Annotated[
        Hours,
        Meta(
            description="A click of this age counts half in the expected clicks that Popular Now"
            ' compares "now" with.'
        ),
    ] = 24.0
    importance_half_life_hours: Annotated[
        Hours, Meta(description="A user's click of this age counts half in Must-Reads.")
    ] = 24.0
    importance_age_half_life_hours: Annotated[
        Hours, Meta(description="An article of this age has half the importance in Must-Reads.")
    ] = 12.0


class BlendConfig(Settings, frozen=True, kw_only=True):
    """Weights of the signals in the score, and which of a user's reads are recent."""

    weights: Annotated[
        dict[str, Weight],
        Meta(
            description="Weights of signals by name, where they differ from the shipped ones of"
            " `recsys.blend.signal_table`."
        ),
    ] = {}
    recent_reads: Annotated[
        Count, Meta(description="How many of a user's latest clicks are recent reads.")
    ] = 20
    known_reads: Annotated[
        Count,
        Meta(
            description="How many of a user's latest clicks a run keeps: all that the ranking head"
            " knows of the user's taste in text."
        ),
    ] = 100
    recent_decay: Annotated[
        Positive, Meta(description="Weight of a recent read against the one that came after it.")
    ] = 0.9
    important_personal: Annotated[
        float, Meta(description="Share of the personal score in the scorer `important`.")
    ] = 0.1


class LearnConfig(Settings, frozen=True, kw_only=True):
    """Which past choices each nightly run learns the weights of the blend from."""

    days: Annotated[
        int,
        Meta(
            ge=0,
            extra={"unit": "days"},
            description="Days before the nightly run from whose choices it learns. 0 learns"
            " nothing and serves the weights of [blend] as they are.",
        ),
    ] = 4
    min_choices: Annotated[
        Count, Meta(description="With fewer choices the weights of [blend] are served as they are.")
    ] = 200
    max_choices: Annotated[
        Count,
        Meta(
            description="Each head learns from at most this many choices, spread evenly over days"
            " and users."
        ),
    ] = 8_000
    max_users: Annotated[
        Count,
        Meta(
            description="A past day with more users is learned from with one in 2, 4, 8, ... of"
            " them, so that at most this many remain. The served run is trained on all users."
        ),
    ] = 32_000
    n_negatives: Annotated[
        Count,
        Meta(
            description="Live articles drawn beside the clicked ones, for each choice among all"
            " live articles."
        ),
    ] = 100
    random_state: Annotated[Seed, Meta(description="Seed of that draw.")] = 42


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
        float, Meta(ge=0, extra={"unit": "hours"}, description="See event_similarity.")
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
            " hours), `rising` (more clicks than expected), `important`, `latest` (newest, those of"
            " the section being read first), `popular_in` (clicks, those of the section being read"
            " first)."
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
    filter: Annotated[FilterConfig, Meta(description="Which articles the list may show.")] = (
        FilterConfig()
    )


class PublishConfig(Settings, frozen=True, kw_only=True):
    """How many runs are kept, and when a run is held back."""

    keep_runs: Annotated[
        Count, Meta(description="Published runs kept, the current one included.")
    ] = 7
    min_share_of_last_run: Annotated[
        NotNegative,
        Meta(
            description="A run is held back if it has fewer live articles, users, clicks or"
            " different articles on its pages than this share of the last run's."
        ),
    ] = 0.5
    max_worse_share: Annotated[
        NotNegative,
        Meta(
            description="A run is held back if the share of its pages with empty slots, or of its"
            " users about whom it knows nothing, is larger than the last run's by more than this."
        ),
    ] = 0.25
    max_lost_auc: Annotated[
        NotNegative,
        Meta(
            description="A run is held back if the AUC of one of its heads on yesterday's choices"
            " is lower by more than this than the last run's was on the day before."
        ),
    ] = 0.1


FieldSource = str | tuple[str, ...] | dict[str, str]
SOURCES = (
    "Where fields come from in JSON, CSV and Parquet files with other names: a column or dotted"
    ' path; several, of which the first with a value counts; or `{ constant = "web" }`.'
)
FieldSources = Annotated[dict[str, FieldSource], Meta(description=SOURCES)]


class IngestConfig(Settings, frozen=True, kw_only=True):
    """How `recsys ingest` reads files."""

    timezone: Annotated[
        str,
        Meta(description="The zone of times without an offset, such as `Europe/Berlin`; else UTC."),
    ] = ""
    article_pattern: Annotated[
        str,
        Meta(
            description="Regular expression that finds the article's id in an address of a log:"
            " its first group, or else the whole match. By default the path is the id."
        ),
    ] = ""
    articles: FieldSources = {}
    clicks: FieldSources = {}
    impressions: FieldSources = {}

    def __post_init__(self) -> None:
        """Check every value, the zone, the pattern, and the fields of the mappings."""
        super().__post_init__()
        try:
            self.zone()
            re.compile(self.article_pattern)
        except re.error as error:
            raise ConfigError(f"article_pattern: {error}") from error
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"timezone: no zone is named {self.timezone!r}") from error
        for kind, fields in FIELDS.items():
            for name, source in self.mapping(kind).items():
                if name not in fields:
                    raise ConfigError(f"{kind}.{name}: no such field{suggestion(name, fields)}")
                if isinstance(source, dict) and [*source] != ["constant"]:
                    raise ConfigError(f"{kind}.{name}: a table must have one key, constant")

    def zone(self) -> tzinfo | None:
        """Return the zone of times without an offset; None if none is set."""
        return ZoneInfo(self.timezone) if self.timezone else None

    def mapping(self, kind: Kind) -> dict[str, FieldSource]:
        """Return the sources of the fields of one kind of rows."""
        mapping: dict[str, FieldSource] = getattr(self, kind)
        return mapping


class Config(Settings, frozen=True, kw_only=True):
    """All settings; each attribute is one table of `recsys.toml`."""

    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    collaborative: CollaborativeConfig = CollaborativeConfig()
    popularity: PopularityConfig = PopularityConfig()
    blend: BlendConfig = BlendConfig()
    learn: LearnConfig = LearnConfig()
    page: PageConfig = PageConfig()
    layouts: Annotated[
        dict[str, dict[str, ListConfig]],
        Meta(
            description="The lists of each layout, in their order on the page. Without any,"
            " `article` has the four shipped lists."
        ),
    ] = {}
    publish: PublishConfig = PublishConfig()
    ingest: IngestConfig = IngestConfig()

    def __post_init__(self) -> None:
        """Check every value, and the number and names of layouts and lists."""
        super().__post_init__()
        if len(self.layouts) > MOST_LAYOUTS:
            raise ConfigError(f"layouts: at most {MOST_LAYOUTS} are allowed")
        for layout, lists in self.layouts.items():
            if not 1 <= len(lists) <= MOST_LISTS:
                raise ConfigError(
                    f"layouts.{layout} must have from 1 to {MOST_LISTS} lists, has {len(lists)}"
                )
            for name in (layout, *lists):
                if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
                    raise ConfigError(
                        f"layouts.{layout}: {name!r} must be up to 64 small letters, digits and"
                        " underscores, and begin with a letter"
                    )

    def digest(self) -> str:
        """Return a short fingerprint; equal settings have equal ones."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]
