"""All settings, as frozen dataclasses; read from a `recsys.toml`.

Variants are made by `dataclasses.replace`. An unknown table or key in the file is
an error, since a misspelt setting that is silently ignored is worse than none.
Numbers without another source are chosen by us; `recsys evaluate` judges them.
"""

import dataclasses
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recsys.errors import ConfigError

N_THREADS = 2  # of sparse products: rows are independent, the same result on any number


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not value > 0:  # also refuses NaN
            raise ConfigError(f"{name} must be positive, got {value}")


def _not_negative(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not value >= 0:
            raise ConfigError(f"{name} must not be negative, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which part of the store a night uses.

    Attributes
    ----------
    window_days
        Clicks older than this are not read.
    max_age_hours
        An article is live for this long after publication (or first sight).
    active_hours
        An older article stays live while somebody clicked it this recently.
    max_clicks_per_hour
        A reader with more clicks in one hour is taken for a machine and left out.
    max_clicks_per_day
        And one with more in one day (UTC): who reads everything.
    max_clicks_per_article
        And one with more on one article in one day: who would lift it.
    keep_days
        What readers did longer ago is deleted from the store after each night; 0 keeps all.
    """

    window_days: float = 30.0
    max_age_hours: float = 72.0
    active_hours: float = 24.0
    max_clicks_per_hour: int = 120
    max_clicks_per_day: int = 600
    max_clicks_per_article: int = 100
    keep_days: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "window_days", "max_age_hours", "max_clicks_per_hour", "max_clicks_per_day")
        _positive(self, "max_clicks_per_article")
        _not_negative(self, "active_hours", "keep_days")
        if 0 < self.keep_days < self.window_days:
            raise ConfigError(
                f"keep_days must be 0 or at least window_days ({self.window_days:g}),"
                f" got {self.keep_days:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """How text becomes vectors.

    Attributes
    ----------
    n_features
        Hash buckets for terms; at 2**22, two of 100,000 distinct terms share a
        bucket with about one other term each hundred.
    title_weight
        Times a word of the title counts against one of the body.
    category_weight
        Times the section's name counts, as a term of its own.
    n_similar
        Similar live articles kept for each article.
    n_rank_terms
        Heaviest terms of an article that tell whether it is like what a reader read.
    min_similarity
        Cosine below which two articles are not called similar.
    """

    n_features: int = 2**22
    title_weight: float = 3.0
    category_weight: float = 2.0
    n_similar: int = 100
    n_rank_terms: int = 64
    min_similarity: float = 0.02

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "n_features", "title_weight", "n_similar", "n_rank_terms")
        _not_negative(self, "category_weight", "min_similarity")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollaborativeConfig:
    """The collaborative model: implicit's parameters under implicit's names.

    Attributes
    ----------
    factors, regularization, iterations, random_state
        Of implicit's AlternatingLeastSquares.
    alpha
        Confidence of a fresh click beyond the 1 of a click of no weight.
    half_life_hours
        Age at which a click's extra confidence is halved.
    full_dwell_seconds
        Reading time at which a click has full weight; half of it weighs half,
        never below a fifth, and an unknown one weighs as the median known one.
    min_users
        Articles with fewer readers are cold: their factors come from text.
    n_item_item
        Articles kept as read together with each article.
    """

    factors: int = 32
    regularization: float = 0.05
    iterations: int = 10
    random_state: int = 42
    alpha: float = 10.0
    half_life_hours: float = 72.0
    full_dwell_seconds: float = 30.0
    min_users: int = 3
    n_item_item: int = 50

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "factors", "iterations", "half_life_hours", "full_dwell_seconds")
        _positive(self, "min_users", "n_item_item")
        _not_negative(self, "regularization", "alpha")


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityConfig:
    """What counts as popular, as clicked when shown, and as rising.

    Attributes
    ----------
    half_life_hours
        Of the popularity in the score of You May Also Like.
    recency_half_life_hours
        Age at which an article is half as new.
    ctr_half_life_hours, ctr_prior_views
        Of the smoothed click-through rate: views of the average rate added to each.
    now_half_life_hours, expected_half_life_hours
        Of "now" and of the expectation it is held against, in Popular Now.
    importance_half_life_hours, importance_age_half_life_hours
        Of the readers counted in Must-Reads, and of an article's importance.
    """

    half_life_hours: float = 3.0
    recency_half_life_hours: float = 3.0
    ctr_half_life_hours: float = 24.0
    ctr_prior_views: float = 20.0
    now_half_life_hours: float = 2.0
    expected_half_life_hours: float = 24.0
    importance_half_life_hours: float = 24.0
    importance_age_half_life_hours: float = 12.0

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, *(f.name for f in dataclasses.fields(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendConfig:
    """Weights of the signals in the score, and what a reader's recent reads are.

    For signals on their own scales: cosines and preferences in 0..1, popularity in log
    units, recency in 0..1. Popularity, ctr, recency and als are rounded from a
    conditional logit on EB-NeRD (clicks of 20-22 May 2023 among all live articles, and
    among those shown), text and affinity were compared on MIND; see README, measured.
    The weights of the context are set by hand: no log here says what readers of an
    article clicked among all live ones.

    Attributes
    ----------
    als, text, affinity, popularity, ctr, recency
        Weights of the signals of a reader and a live article.
    context_text, context_item_item, context_category
        Weights of the signals of the article being read.
    recent_reads
        How many of a reader's latest clicks are "recent".
    known_reads
        How many of them a run keeps: what `rank` knows of a reader's taste in text.
    recent_decay
        Weight of each recent read against the one after it.
    must_reads_personal
        Share of the personal score in Must-Reads: lightly personal.
    """

    als: float = 1.2
    text: float = 30.0
    affinity: float = 1.0
    popularity: float = 0.9
    ctr: float = 0.05
    recency: float = 3.3
    context_text: float = 60.0
    context_item_item: float = 6.0
    context_category: float = 1.5
    recent_reads: int = 20
    known_reads: int = 100
    recent_decay: float = 0.9
    must_reads_personal: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "recent_reads", "known_reads", "recent_decay")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnConfig:
    """What the weights of the blend are refitted from each night.

    Attributes
    ----------
    days
        Days before the night, whose choices are learned from.
    min_choices
        With fewer choices the shipped weights are served.
    max_choices
        Each head learns from so many, evenly spread over days and readers, if there are more.
    max_users
        A past night is trained on so many of its readers to learn from it, if there were more:
        one in 2, 4, 8 ... of them. What is served is trained on all.
    n_negatives
        Live articles drawn beside those clicked, for each choice among all that are live.
    random_state
        Of that draw.
    """

    days: int = 4
    min_choices: int = 200
    max_choices: int = 8_000
    max_users: int = 32_000
    n_negatives: int = 100
    random_state: int = 42

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "min_choices", "max_choices", "max_users", "n_negatives")
        _not_negative(self, "days")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """What a page holds.

    Attributes
    ----------
    n
        Slots of each ranked list.
    n_latest
        Slots of Latest Stories.
    story_similarity
        Cosine from which two live articles are the same story: copies of each other.
    event_similarity, event_hours
        Cosine from which they are if they were written within so many hours.
    exempt
        Lists that may tell a story again that stands elsewhere on the page; an article
        stands once all the same.
    minimum
        Slots that each list keeps before another gets more, when articles run out.
    must_reads_of_section
        Most articles of one section in Must-Reads.
    diversity
        What an article of You May Also Like loses by likeness (a cosine of 1) to a better
        candidate, against the span from the best to the last of a page.
    you_may_also_like_priority, popular_now_priority, must_reads_priority, \
    latest_stories_priority
        What a list is worth to the page, where two want the same article. You May Also Like
        stands first: at 2, other lists take so much of it that its hits on MIND fall from
        .21 to .14, at 10 none (and on EB-NeRD none at either).
    """

    n: int = 5
    n_latest: int = 6
    story_similarity: float = 0.75
    event_similarity: float = 0.65
    event_hours: float = 24.0
    exempt: tuple[str, ...] = ()
    minimum: int = 3
    must_reads_of_section: int = 2
    diversity: float = 0.2
    you_may_also_like_priority: float = 10.0
    popular_now_priority: float = 1.0
    must_reads_priority: float = 1.0
    latest_stories_priority: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "n", "n_latest", "story_similarity", "must_reads_of_section")
        _positive(self, "event_similarity")
        _not_negative(self, "minimum", "diversity", "event_hours")
        _positive(self, *(f.name for f in dataclasses.fields(self) if "priority" in f.name))
        lists = [f.name.removesuffix("_priority") for f in dataclasses.fields(self)]
        for name in self.exempt:
            if name not in lists:
                raise ConfigError(f"exempt must be names of lists, got {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfig:
    """What is kept, and when a run is held back.

    Attributes
    ----------
    keep_runs
        Published files kept, the current one included.
    min_share_of_last_run
        Hold tonight if it has fewer live articles, readers, clicks, or different articles on
        its pages, than this share of the last run's.
    max_worse_share
        Hold tonight if so much larger a share of its pages has empty slots, or of its readers
        is known by nothing, than in the last run.
    max_lost_auc
        Hold tonight if a head of the blend did so much worse on yesterday's choices than the
        last run's did on the day before.
    """

    keep_runs: int = 7
    min_share_of_last_run: float = 0.5
    max_worse_share: float = 0.25
    max_lost_auc: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        _positive(self, "keep_runs")
        _not_negative(self, "min_share_of_last_run", "max_worse_share", "max_lost_auc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything; one table of `recsys.toml` an attribute."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    collaborative: CollaborativeConfig = field(default_factory=CollaborativeConfig)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    blend: BlendConfig = field(default_factory=BlendConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    page: PageConfig = field(default_factory=PageConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)

    def digest(self) -> str:
        """Return a short fingerprint; equal settings give equal ones."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_config(path: Path | None) -> Config:
    """Return the settings of a TOML file; the defaults for None.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a table, key, type or value is wrong.
    """
    if path is None:
        return Config()
    try:
        return parsed_config(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def parsed_config(text: str, path: str) -> Config:
    """Return the settings of a TOML text.

    Raises
    ------
    ConfigError
        If a table, key, type or value is wrong; names `path`, where the text is from.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    rooms = {room.name: room.default_factory for room in dataclasses.fields(Config)}
    parts = {}
    for table, values in tables.items():
        if table not in rooms:
            raise ConfigError(f"{path}: unknown table [{table}]; known: {', '.join(rooms)}")
        parts[table] = _part(path, table, rooms[table], values)
    return Config(**parts)


def toml_of(config: Config) -> str:
    """Return settings as the text of a `recsys.toml`; `load_config` reads them back equal."""
    lines = []
    for table, values in dataclasses.asdict(config).items():
        lines += [f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in values.items()), ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    return json.dumps(value) if isinstance(value, tuple) else repr(value)


def _part(path: str, table: str, make: Any, values: object) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {table} must be a table, write [{table}]")
    types = {f.name: type(f.default) for f in dataclasses.fields(make)}
    for name, value in values.items():
        if name not in types:
            raise ConfigError(f"{path}: unknown key {table}.{name}; known: {', '.join(types)}")
        if types[name] is tuple and isinstance(value, list):
            values[name] = value = tuple(value)
        allowed = (int, float) if types[name] is float else (types[name],)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise ConfigError(
                f"{path}: {table}.{name} must be of type {types[name].__name__}, got {value!r}"
            )
    try:
        return make(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {table}.{error}") from error
