"""All settings: what each one means, its default, its allowed range; see `recsys.config_file`.

A field's annotation carries its range and description: the checks, the error messages, `recsys
config` and docs/settings.md all read them there. Variants are made by `msgspec.structs.replace`.
An unknown table or key in the file is an error, since a misspelt setting that is silently ignored
is worse than none. Numbers without another source are ours; `recsys evaluate` judges them.
"""

import hashlib
import re
from datetime import tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from recsys.checked import suggestion
from recsys.config_page import ListConfig, PageConfig
from recsys.config_types import (
    LARGE,
    LEAST_HOURS,
    MOST_DAYS,
    MOST_HOURS,
    SMALL,
    Hours,
    NotNegative,
    Positive,
    Settings,
)
from recsys.errors import ConfigError
from recsys.rows import FIELDS, Kind

N_THREADS = 2  # of sparse products: rows are independent, the same result on any number
MOST_LISTS = 16  # of one layout
MOST_LAYOUTS = 32
MOST_COUNT = 10**9  # more than anything that is counted

Count = Annotated[int, Meta(ge=1, le=MOST_COUNT)]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Days = Annotated[float, Meta(ge=LEAST_HOURS, le=MOST_DAYS, extra={"unit": "days"})]
Factors = Annotated[int, Meta(ge=1, le=1024)]
Weight = Annotated[float, Meta(ge=-1e6, le=1e6)]
Seconds = Annotated[float, Meta(ge=SMALL, le=LARGE, extra={"unit": "seconds"})]


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
            le=MOST_HOURS,
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
            le=MOST_DAYS,
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

    factors: Annotated[Factors, Meta(description="Factors of AlternatingLeastSquares.")] = 32
    regularization: Annotated[
        NotNegative, Meta(description="Regularization of AlternatingLeastSquares.")
    ] = 0.05
    iterations: Annotated[
        int, Meta(ge=1, le=1000, description="Iterations of AlternatingLeastSquares.")
    ] = 10
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
        int,
        Meta(ge=1, le=1000, description="How many of a user's latest clicks are recent reads."),
    ] = 20
    known_reads: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="How many of a user's latest clicks a run keeps: all that the ranking head"
            " knows of the user's taste in text.",
        ),
    ] = 100
    recent_decay: Annotated[
        Positive, Meta(description="Weight of a recent read against the one that came after it.")
    ] = 0.9
    important_personal: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of the personal score in the scorer `important`."),
    ] = 0.1


class LearnConfig(Settings, frozen=True, kw_only=True):
    """Which past choices each nightly run learns the weights of the blend from."""

    days: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_DAYS,
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
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"article_pattern: {error}") from error
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"timezone: no zone is named {self.timezone[:100]!r}") from error
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
