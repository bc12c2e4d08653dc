"""Examples and exit statuses of every command, printed below its options by `--help`."""

DONE, FAILED, USAGE = "0 done", "1 failed", "2 wrong usage"
RUN = (DONE, FAILED, USAGE, "3 held back", "4 another run is active")
PLAIN = (DONE, FAILED, USAGE)
ONE_RUN = "000002-20260302T060000Z"

# By command: examples, exit statuses.
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (
        (
            "recsys ingest incoming --store recsys.db",
            "recsys ingest clicks.csv --dry-run --store recsys.db",
        ),
        (
            DONE,
            "1 a file gave no row, or with --strict a row was rejected",
            "2 wrong usage, or a file is not what it should be",
        ),
    ),
    "embed": (
        (
            "recsys embed --store recsys.db",
            "recsys embed --store recsys.db --model models/multilingual --all",
        ),
        (DONE, "1 no model, or the store has vectors of another one", USAGE),
    ),
    "nightly": (
        (
            "recsys nightly --store recsys.db --published published",
            "recsys nightly --store recsys.db --published published --quiet --log-json",
        ),
        RUN,
    ),
    "refresh": (("recsys refresh --store recsys.db --published published",), RUN),
    "recommend": (
        ("recsys recommend --published published --user u0007 --article a0030 --json",),
        PLAIN,
    ),
    "rank": (("recsys rank a0030 a0031 --published published --user u0007",), PLAIN),
    "audience": (
        (
            "recsys audience a0133 --n 500 --to push.csv",
            "recsys audience a0133 --dry-run --json",
        ),
        (DONE, "1 the article may not be recommended, or the run is damaged", USAGE),
    ),
    "export": (("recsys export --published published --to lists.csv",), PLAIN),
    "demo": (("recsys demo",), PLAIN),
    "evaluate": (
        (
            "recsys evaluate --store recsys.db --protocol hourly",
            "recsys evaluate --store recsys.db --json metrics.json --html report.html",
            "recsys evaluate --store recsys.db --json -",
        ),
        PLAIN,
    ),
    "tune": (("recsys tune --store recsys.db --to tuned.toml --trials 40",), PLAIN),
    "explain": (
        ("recsys explain --published published --user u0007 --article a0030",),
        PLAIN,
    ),
    "preview": (
        ("recsys preview --published published --article a0030 --out page.html",),
        PLAIN,
    ),
    "runs": (("recsys runs --published published --store recsys.db --json",), PLAIN),
    "health": (
        ("recsys health --published published --max-hours 30",),
        (DONE, "1 something is wrong; each problem is printed", USAGE),
    ),
    "rollback": (
        ("recsys rollback --published published", f"recsys rollback {ONE_RUN}"),
        (DONE, "1 no such run", USAGE, "3 the run was held back"),
    ),
    "publish": (
        (f'recsys publish {ONE_RUN} --force --reason "a quiet weekend"',),
        (DONE, "1 no such run", USAGE, "3 held back and not forced", "4 a run is active"),
    ),
    "diff": (
        (f"recsys diff 000001-20260301T060000Z {ONE_RUN} --published published",),
        (DONE, "1 no such run", USAGE),
    ),
    "rebuild": ((f"recsys rebuild {ONE_RUN} --to again",), RUN),
    "forget": (
        ("recsys forget u0007 --store recsys.db --published published",),
        (DONE, "1 no such user, or a run cannot be read", USAGE, "4 a run is active"),
    ),
    "config": (("recsys config --config recsys.toml",), (DONE, "1 a setting is wrong", USAGE)),
    "store": (("recsys store --store recsys.db --json", "recsys store vacuum"), PLAIN),
    "rules add": (
        (
            'recsys rules add pin a0133 --list must_reads --slot 1 --author Ann --reason "lead"',
            'recsys rules add block "royal baby" --by text --author Ann --reason "legal"',
        ),
        (DONE, "1 the rule is refused", USAGE),
    ),
    "rules list": (("recsys rules list --all --json",), PLAIN),
    "rules end": (
        ('recsys rules end r3 --author Ann --reason "the story is over"',),
        (DONE, "1 no such rule", USAGE),
    ),
    "rules history": (("recsys rules history r3",), PLAIN),
    "rules import": (
        ("recsys rules import rules.json",),
        (DONE, "1 a rule is refused; none is added", USAGE),
    ),
    "rules export": (("recsys rules export --to rules.json",), PLAIN),
}


def epilog_of(command: str) -> str:
    """Return what `--help` prints below the options of a command."""
    examples, statuses = COMMANDS[command]
    return "\n\n".join(["Examples:", *examples, f"Exit status: {'; '.join(statuses)}."])
