"""Features counted from events: their names, and the half-lives they are counted with.

Half-lives were tried on EB-NeRD and MIND. Each alone is worth little; together they say how the
clicks of an article came: just now, all day, or long ago.
"""

POPULARITY_HOURS = (0.25, 0.5, 1.0, 3.0, 8.0, 24.0)
RATE_HOURS = (1.0, 6.0, 24.0, 72.0)
SHOWN_HOURS = (1.0, 12.0, 1000.0)  # the last is "ever"
READ_HOURS = (12.0, 1000.0)
ARTICLE_FEATURES = (
    *(f"popularity_{hours:g}h" for hours in POPULARITY_HOURS),
    *(f"click_rate_{hours:g}h" for hours in RATE_HOURS),
    *(f"views_{hours:g}h" for hours in RATE_HOURS),
    "seen_age",
    "unseen",
)
USER_FEATURES = (
    *(f"shown_{hours:g}h" for hours in SHOWN_HOURS),
    *(f"read_{hours:g}h" for hours in READ_HOURS),
)
