import hashlib
import random

import pytest

from act_gym.errors import CorruptDataError, DownloadError
from act_gym.io.download import fetch

CONTENT = random.Random(0).randbytes(4_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KNOWN = {"size": len(CONTENT), "sha256": SHA256}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: 0.0)  # gdown's pause before a retry


@pytest.fixture
def served(server):
    server.files["/file.zip"] = CONTENT
    return server


@pytest.fixture
def get(served, tmp_path):
    def run(path="/file.zip", **options):
        return fetch(served.url(path), tmp_path / "file.zip", pause=0.01, **options)

    return run


def leftovers(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_a_file_arrives_whole_and_nothing_else_stays(get, tmp_path):
    seen = []
    assert get(**KNOWN, report=lambda done, total: seen.append((done, total))).read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["file.zip"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_and_right_is_not_fetched_again(get, served):
    get(**KNOWN)
    get(**KNOWN)
    assert len(served.asked) == 1


def test_a_file_that_is_there_and_wrong_is_replaced(get, tmp_path):
    (tmp_path / "file.zip").write_bytes(b"old")
    assert get(**KNOWN).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [KNOWN, {}])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(get, served, known):
    served.breaks = [1_200_000, 1, 600_000]  # gdown writes blocks of 2**19 bytes
    assert get(**known).read_bytes() == CONTENT
    assert served.asked == [None, "bytes=1048576-", "bytes=1048576-", "bytes=1572864-"]


def test_what_came_is_kept_when_the_server_stays_away_and_the_next_run_goes_on(get, served, tmp_path):
    served.breaks = [1_200_000] + [0] * 8
    with pytest.raises(DownloadError, match=r"1,048,576 bytes are kept"):
        get(**KNOWN)
    served.breaks.clear()
    served.asked.clear()
    assert get(**KNOWN).read_bytes() == CONTENT
    assert served.asked == [None, "bytes=1048576-"]


def test_a_server_without_ranges_starts_again(get, served):
    served.ranges = False
    served.breaks = [1_200_000]
    assert get(**KNOWN).read_bytes() == CONTENT


def test_a_file_that_changed_in_between_starts_again(get, served):
    served.breaks = [1_200_000] + [0] * 8
    with pytest.raises(DownloadError):
        get()
    served.breaks.clear()
    served.files["/file.zip"], served.validator = CONTENT[::-1], '"two"'
    assert get().read_bytes() == CONTENT[::-1]


def test_a_wrong_byte_is_noticed_and_the_file_deleted(get, served, tmp_path):
    served.files["/file.zip"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(CorruptDataError, match=f"expected .* and {SHA256}. It has been deleted"):
        get(**KNOWN)
    assert leftovers(tmp_path) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(get, served, tmp_path):
    served.files["/file.zip"] = CONTENT + b"x"
    with pytest.raises(CorruptDataError, match="expected 4,000,000"):
        get(**KNOWN)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("statuses", [[500], [503, 502, 429]])
def test_a_server_in_trouble_is_asked_again(get, served, statuses):
    served.statuses = list(statuses)
    assert get(**KNOWN).read_bytes() == CONTENT
    assert len(served.asked) == len(statuses) + 1


def test_a_server_that_stays_in_trouble_is_given_up(get, served):
    served.statuses = [500] * 50
    with pytest.raises(DownloadError, match="500"):
        get(**KNOWN)
    assert 2 < len(served.asked) < 10


def test_an_address_that_is_not_there_is_said_at_once(get, served):
    with pytest.raises(DownloadError, match=r"404.*Not Found.*--source"):
        get("/other.zip", **KNOWN)
    assert len(served.asked) == 1


def test_a_part_that_is_longer_than_the_file_starts_again(get, tmp_path):
    (tmp_path / ".file.zip.12345678.part").write_bytes(CONTENT + b"more")
    assert get(**KNOWN).read_bytes() == CONTENT
    assert leftovers(tmp_path) == ["file.zip"]


def test_a_server_that_is_not_there_is_a_download_error(tmp_path):
    with pytest.raises(DownloadError, match="could not be fetched"):
        fetch("http://127.0.0.1:1/file", tmp_path / "file", pause=0.001)


@pytest.mark.parametrize("url", ["ftp://example.org/x", "file:///etc/passwd", "x.zip"])
def test_only_http_is_fetched(tmp_path, url):
    with pytest.raises(DownloadError, match="expected an address with http"):
        fetch(url, tmp_path / "file")


def test_a_full_disk_is_said_and_what_came_is_kept(get, served, tmp_path, small_disk):
    with small_disk(1_200_000), pytest.raises(DownloadError, match=r"full.*ACT_GYM_DATA"):
        get(**KNOWN)
    (part,) = tmp_path.glob(".file.zip.*.part")
    assert 0 < part.stat().st_size <= 1_200_000
    assert get(**KNOWN).read_bytes() == CONTENT
    assert served.asked[-1].startswith("bytes=")
