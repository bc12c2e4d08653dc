"""The operators' commands, as they are typed."""

import json
import os
import re

import pytest
from newsroom import AS_OF, BOTH, NIGHT, SAMPLE, at, copied, environment, page_of, run, well

from recsys import Recommender, hashed_user
from recsys.files import locked
from recsys.nightly import run_report
from recsys.published import folder as published_folder
from recsys.store.database import Store


@pytest.fixture
def here(newsroom, tmp_path):
    return copied(newsroom, tmp_path / "here")


@pytest.mark.slow
def test_a_run_held_back_is_published_only_with_a_reason(here):
    served = page_of(here)
    done = run(here, *NIGHT, at(48))
    assert done.status == 3
    run_id = published_folder.run_ids(here / "p", ".held")[0]
    assert f"recsys publish {run_id} --force --reason TEXT" in done.said
    assert f"h {run_id}" in well(here, "runs", *BOTH).out
    for more in ((), ("--force",), ("--reason", "a quiet weekend")):
        refused = run(here, "publish", run_id, *BOTH, *more)
        assert refused.status == 3
        assert "live articles" in refused.said
    assert run(here, "rollback", run_id, "--published", "p").status == 3
    assert page_of(here) == served
    well(here, "publish", run_id, *BOTH, "--force", "--reason", "a quiet weekend")
    assert published_folder.current_run(here / "p") == run_id
    listed = well(here, "runs", *BOTH).out
    assert f"* {run_id}" in listed
    assert "published all the same: a quiet weekend" in listed
    with Store(here / "s.db") as store:
        assert store.runs()[-1]["status"] == "published"
    # The next run is compared with the run that was published by force.
    assert run(here, *NIGHT, at(48)).status == 0
    well(here, "rollback", served[0], "--published", "p")
    assert page_of(here) == served


@pytest.mark.slow
def test_differences_are_printed_and_a_run_is_built_again(here):
    well(here, "refresh", *BOTH, "--as-of", at(1))
    first, second, third = published_folder.run_ids(here / "p")
    said = well(here, "diff", first, second, "--published", "p").out
    assert re.search(r"^new: \d+ articles: ", said, re.MULTILINE)
    assert "Popular Now: " in said
    assert "the same, to the byte" in well(here, "diff", second, second, "--published", "p").out
    for run_id in (second, third):
        said = well(here, "rebuild", run_id, *BOTH, "--to", f"again {run_id}").out
        assert "the same, to the byte" in said
    there = run_report.library_versions()["BLAS"]
    if re.fullmatch(r"(openblas [\d.]+ (SkylakeX|Haswell|Zen)(, )?)+", there):
        other = environment(OPENBLAS_CORETYPE="Nehalem")
        said = well(here, "rebuild", second, *BOTH, "--to", "other", env=other).out
        assert f"it was built with BLAS {there}, now openblas" in said.replace("\n", " ")
    assert published_folder.current_run(here / "p") == third
    assert run(here, "rebuild", "000099-never", *BOTH, "--to", "x").status == 1
    assert run(here, "diff", first, "000099-never", "--published", "p").status == 1


def test_user_ids_are_hashed_by_the_key_of_the_environment(tmp_path):
    key = environment(RECSYS_USER_KEY="a secret of sixteen")
    ingest = ("ingest", str(SAMPLE), "--store", "s.db", "--hash-users")
    without = run(tmp_path, *ingest)
    assert without.status == 2
    assert "RECSYS_USER_KEY" in without.said
    assert run(tmp_path, *ingest, env=key).status == 0
    (tmp_path / "c.toml").write_text("[learn]\ndays = 0\n")
    well(tmp_path, *NIGHT, at(0))
    ask = ("recommend", "--published", "p", "--user", "u0007", "--as-of", at(0), "--json")
    mine, anonymous_page = (json.loads(run(tmp_path, *ask, env=env).out) for env in (key, None))
    assert mine != anonymous_page
    name = hashed_user("u0007", b"a secret of sixteen")
    page = Recommender(tmp_path / "p").recommend(name, as_of=AS_OF)
    assert [slot["article_id"] for slot in mine["lists"]["must_reads"]] == [
        slot.article_id for slot in page["must_reads"]
    ]
    done = run(tmp_path, "forget", "u0007", *BOTH, env=key)
    assert "1 users" in done.out
    assert json.loads(run(tmp_path, *ask, env=key).out) == anonymous_page
    again = run(tmp_path, "ingest", str(SAMPLE), "--store", "s.db")
    assert again.status == 1
    assert "--hash-users" in again.said


def test_a_hashed_store_forgets_with_its_own_key_only(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,article_id,clicked_at\nu1,a1,2026-03-01T00:00:00Z\n")
    keys = [environment(RECSYS_USER_KEY=f"a secret of sixteen {i}") for i in range(2)]
    run(tmp_path, "ingest", "log.csv", "--store", "s.db", "--hash-users", env=keys[0])
    for env in (None, keys[1]):
        refused = run(tmp_path, "forget", "u1", *BOTH, env=env)
        assert refused.status == 1
        assert "RECSYS_USER_KEY" in refused.said
    assert run(tmp_path, "forget", " u1", *BOTH, env=keys[0]).status == 0


def test_forgetting_says_where_a_user_was_found_or_that_there_is_none(here):
    run_id = published_folder.current_run(here / "p")
    done = well(here, "forget", "u0007", *BOTH)
    assert re.search(r"^s\.db: deleted [1-9]\d* clicks, .* 1 users", done.out, re.MULTILINE)
    assert re.search(r"^p: deleted the user from [1-9] runs$", done.out, re.MULTILINE)
    assert re.search(r"^  p/\d{6}-.*\.sqlite: deleted 1 entry$", done.out, re.MULTILINE)
    assert "not covered: backups" in done.out
    log = re.escape(str((SAMPLE / "clicks.csv.gz").absolute()))
    assert re.search(f"^still in {log} .read by ingest., [1-9]", done.out, re.MULTILINE)
    again = run(here, "forget", "u0007", *BOTH)
    assert (again.status, again.said) == (
        1,
        "no such user in s.db or in the runs of p; check the id\n",
    )
    assert re.search(f"^still in {log} .read by ingest., [1-9]", again.out, re.MULTILINE)
    for user, said in (("", "not empty"), (os.fsdecode(b"\xff"), "Unicode")):
        refused = run(here, "forget", user, *BOTH)
        assert (refused.status, said in refused.said) == (2, True), refused
    assert run(here, "forget", "u0008", *BOTH, "--search", "nowhere").status == 2
    well(here, "export", "--published", "p", "--to", "lists.csv", "--as-of", at(0))
    as_json = json.loads(well(here, "forget", "u0011", *BOTH, "--json").out)
    assert (as_json["is_found"], as_json["rows"]["users"]) == (True, 1)
    assert [*as_json["runs"].values()] == [1] * len(as_json["runs"])
    export = {"file": str(here / "lists.csv"), "whole": 20, "within": 0}
    assert [row | {"whole": 20} for row in as_json["exports"]] == [export]
    assert (as_json["left"], as_json["problems"]) == ([], [])
    published_folder.run_path(here / "p", run_id).write_bytes(b"damaged")
    unread = run(here, "forget", "u0008", *BOTH)
    assert unread.status == 1
    assert f"{run_id}.sqlite: " in unread.said


def test_bytes_of_the_id_left_in_the_folder_end_with_status_1(here):
    (here / "p" / "notes.txt").write_text("u0007 called")
    done = run(here, "forget", "u0007", *BOTH)
    assert (done.status, done.said) == (
        1,
        "the user may still be there: p/notes.txt has the id by itself\n",
    )
    (here / "p" / "notes.txt").write_text("u00081 called")  # perhaps of another user
    assert run(here, "forget", "u0008", *BOTH).status == 0


def test_a_forged_pointer_is_not_believed_where_a_key_is_set(here):
    key = environment(RECSYS_RUN_KEY="the key of the night")
    first, second = published_folder.run_ids(here / "p")[-2:]
    listed = run(here, "runs", "--published", "p", env=key)
    assert listed.status == 0
    assert "warning: p/current: not signed with the key" in listed.said
    assert f"* {second}" not in listed.out
    assert f"* {second}" in well(here, "runs", "--published", "p").out
    back = run(here, "rollback", "--published", "p", env=key)
    assert back.status == 1
    assert "p/current: not signed with the key" in back.said
    assert well(here, "rollback", "--published", "p").out == f"serving {first}, was {second}\n"


def test_no_command_prints_a_user_id(here):
    said = [
        well(here, *NIGHT, at(1)).out,
        well(here, "runs", *BOTH).out,
        well(here, "forget", "u0007", *BOTH).out,
        well(here, "ingest", str(SAMPLE), "--store", "s.db").out,
    ]
    with Store(here / "s.db") as store:
        names = set(store.users().ids)
        ledger = json.dumps(store.runs())
    for text in (*said, ledger):
        assert "u0007" not in text
        assert not names & set(text.replace('"', " ").split())


def test_health_names_the_run_and_each_problem_with_its_remedy(here):
    run_id = published_folder.current_run(here / "p")
    ask = ("health", "--published", "p", "--as-of", at(1))
    assert well(here, *ask).out.startswith(f"{run_id}: ")
    well(here, "rules", "list", *BOTH)
    (here / "p" / "rules.json").write_text("[{")
    done = run(here, *ask)
    assert done.status == 1
    assert re.search(r"problem: not served: p/rules.json: damaged: .*`recsys rules list", done.out)
    found = run(here, *ask, "--json", "--max-hours", "0.5")
    assert found.status == 1
    assert json.loads(found.out)["run_id"] == run_id
    assert len(json.loads(found.out)["problems"]) == 2


def test_runs_shows_running_killed_and_published_runs(here):
    run_id = published_folder.current_run(here / "p")
    with Store(here / "s.db") as store:
        store.put_run(
            "000009-x",
            "nightly",
            at(1),
            "begun",
            {"status": "begun", "counts": {}} | {"kind": "nightly", "as_of": at(1), "problems": []},
        )
    (here / "p" / "000009-x.held").write_bytes(b"half a run")

    def statuses():
        listed = json.loads(well(here, "runs", *BOTH, "--json").out)
        return {row["run_id"]: (row["status"], row["file"]) for row in listed}

    assert statuses()[run_id] == ("published", "kept")
    assert statuses()["000009-x"] == ("killed", "unfinished")
    with locked(here / "p"):
        assert statuses()["000009-x"] == ("running", "unfinished")
        assert "u 000009-x  nightly, running, as of " in well(here, "runs", *BOTH).out


@pytest.mark.parametrize("line", [("runs",), ("refresh", "--store", "s.db")])
def test_a_folder_without_runs_is_named_and_not_made(here, line):
    done = run(here, *line, "--published", "typo")
    assert done.status == 1
    assert "typo: nothing is published here" in done.said
    assert not (here / "typo").exists()
