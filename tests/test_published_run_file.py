from recsys.published import folder as published_folder


def test_only_its_owner_may_read_the_file_of_a_run(sample):
    path = published_folder.run_path(sample.folder, sample.report.run_id)
    assert path.stat().st_mode & 0o777 == 0o600
