"""All settings: what each one means, its default, its allowed range; read from a `recsys.toml`.

A field's annotation carries its range and description: the checks, the error messages,
`recsys config` and docs/settings.md all read them there. Variants are made by
`msgspec.structs.replace`. An unknown table or key in the file is an error, since a
misspelt setting that is silently ignored is worse than none. Numbers without another
source are chosen by us; `recsys evaluate` judges them.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tomli_w
from msgspec import Meta

from recsys.checked import check_fields, suggestion
from recsys.errors import ConfigError

N_THREADS = 2  # of sparse products: rows are independent, the same result on any number

MOST_SLOTS = 100  # in one list of a page

Count = Annotated[int, Meta(ge=1)]
Slots = Annotated[int, Meta(ge=1, le=MOST_SLOTS)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Days = Annotated[float, Meta(gt=0, extra={"unit": "days"})]
Hours = Annotated[float, Meta(gt=0, extra={"unit": "hours"})]
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
        NotNegative,
        Meta(description="Confidence that a fresh click has on top of the 1 of every click."),
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
    """Weights of the signals in the score, and which of a user's reads are recent.

    The signals have their own scales: cosines and preferences in 0..1, popularity in log
    units, recency in 0..1. The weights of popularity, ctr, recency and als are rounded from
    a conditional logit on EB-NeRD (clicks of 20-22 May 2023 among all live articles, and
    among those shown); those of text and affinity were compared on MIND. The
    weights of the context are set by hand: no log here says what readers of an article
    clicked among all live ones.
    """

    als: Annotated[
        float, Meta(description="Weight of the collaborative score of the user and the article.")
    ] = 1.2
    text: Annotated[
        float, Meta(description="Weight of the likeness in text to the user's recent reads.")
    ] = 30.0
    affinity: Annotated[
        float, Meta(description="Weight of the user's preference for the article's section.")
    ] = 1.0
    popularity: Annotated[float, Meta(description="Weight of the article's popularity.")] = 0.9
    ctr: Annotated[float, Meta(description="Weight of the article's click-through rate.")] = 0.05
    recency: Annotated[float, Meta(description="Weight of the article's recency.")] = 3.3
    context_text: Annotated[
        float, Meta(description="Weight of the likeness in text to the article being read.")
    ] = 60.0
    context_item_item: Annotated[
        float, Meta(description="Weight of being read together with the article being read.")
    ] = 6.0
    context_category: Annotated[
        float, Meta(description="Weight of being in the section of the article being read.")
    ] = 1.5
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
    must_reads_personal: Annotated[
        float, Meta(description="Share of the personal score in the score of Must-Reads.")
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
    """What a page holds.

    You May Also Like has by far the largest priority, because at 2 other lists take so many of
    its articles that its hit rate on MIND falls from .21 to .14; at 10 they take none (and on
    EB-NeRD they take none at either).
    """

    n: Annotated[Slots, Meta(description="Slots of each ranked list.")] = 5
    n_latest: Annotated[Slots, Meta(description="Slots of Latest Stories.")] = 6
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
    exempt: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of the lists that may repeat a story of another list of the page."
            " Even there an article appears only once."
        ),
    ] = ()
    minimum: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_SLOTS,
            description="When articles run out, each list fills this many slots before another"
            " list fills more.",
        ),
    ] = 3
    must_reads_of_section: Annotated[
        Count, Meta(description="Most articles of one section in Must-Reads.")
    ] = 2
    diversity: Annotated[
        NotNegative,
        Meta(
            description="How much an article of You May Also Like loses if it equals a better"
            " candidate (a cosine of 1), as a share of the distance in score between the best and"
            " the last candidate of the page."
        ),
    ] = 0.2
    you_may_also_like_priority: Annotated[
        Positive,
        Meta(description="Priority of You May Also Like where two lists want the same article."),
    ] = 10.0
    popular_now_priority: Annotated[Positive, Meta(description="Priority of Popular Now.")] = 1.0
    must_reads_priority: Annotated[Positive, Meta(description="Priority of Must-Reads.")] = 1.0
    latest_stories_priority: Annotated[
        Positive, Meta(description="Priority of Latest Stories.")
    ] = 0.5

    def __post_init__(self) -> None:
        """Check every value, and that `exempt` names lists."""
        super().__post_init__()
        suffix = "_priority"
        known = [n.removesuffix(suffix) for n in self.__struct_fields__ if n.endswith(suffix)]
        for name in self.exempt:
            if name not in known:
                raise ConfigError(f"exempt must name lists ({', '.join(known)}), got {name!r}")


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


class Config(Settings, frozen=True, kw_only=True):
    """All settings; each attribute is one table of `recsys.toml`."""

    data: DataConfig = DataConfig()
    text: TextConfig = TextConfig()
    collaborative: CollaborativeConfig = CollaborativeConfig()
    popularity: PopularityConfig = PopularityConfig()
    blend: BlendConfig = BlendConfig()
    learn: LearnConfig = LearnConfig()
    page: PageConfig = PageConfig()
    publish: PublishConfig = PublishConfig()

    def digest(self) -> str:
        """Return a short fingerprint; equal settings have equal ones."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:12]


def load_config(path: Path | None) -> Config:
    """Return the settings of a TOML file; the defaults for None.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a table, key, type or value is wrong.
    """
    return config_of(load_tables(path), str(path))


def load_tables(path: Path | None) -> dict[str, Any]:
    """Return the tables of a TOML file as they are, not checked; {} for None.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not TOML.
    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def config_of(tables: Mapping[str, Any], source: str) -> Config:
    """Return the settings of the tables of a TOML file.

    Raises
    ------
    ConfigError
        If a table, key, type or value is wrong; begins with `source`, where the tables are from.
    """
    try:
        made: Config = _made(Config, tables, "")
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return made


def toml_of(config: Config) -> str:
    """Return settings as the text of a `recsys.toml`; `load_config` reads them back equal."""
    return tomli_w.dumps(msgspec.to_builtins(config))


def _made(kind: Any, value: Any, name: str) -> Any:
    """Return a value of a file as settings of a kind; `name` is its dotted path in the file."""
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        return value  # its owner checks it
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a table: write [{name}]")
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    prefix = name and f"{name}."
    parts = {}
    for key, part in value.items():
        if key not in known:
            what = "key" if name else "table"
            raise ConfigError(f"unknown {what} {prefix}{key}{suggestion(key, known)}")
        parts[key] = _made(known[key], part, f"{prefix}{key}")
    try:
        return kind(**parts)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from error
