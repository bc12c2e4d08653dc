from recsys.files import atomic_replacement, version_of


def test_a_version_is_what_the_system_says_of_a_file(tmp_path):
    path = tmp_path / "größe.json"
    assert version_of(path) is None
    path.write_text("1")
    first = version_of(path)
    status = path.stat()
    assert first == (status.st_mtime_ns, status.st_ino)
    assert version_of(str(path)) == first
    with atomic_replacement(path) as partial:
        partial.write_text("2")
    assert version_of(path) != first
