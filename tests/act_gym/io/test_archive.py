import io
import os
import stat
import sys
import tarfile
import zipfile
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.errors import CorruptDataError, MissingDependencyError, UsageError
from act_gym.io import archive
from act_gym.io.archive import unpack

FILES = {f"top/folder/{name}": os.urandom(2000) + bytes(3000) for name in ("a", "b", "größe", "d")}


def make_tar(path, mode="w", files=FILES, extra=()):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


def make_zip(path, files=FILES, extra=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info in extra:
            archive.writestr(info, "/etc/passwd")
    return path


def make_zst(path):
    plain = make_tar(path.with_suffix(".plain"))
    path.write_bytes(import_module(archive._ZSTD_MODULE).compress(plain.read_bytes()))
    return path


def make_folder(path):
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MAKERS = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda path: make_tar(path, "w:gz"),
    "tar.bz2": lambda path: make_tar(path, "w:bz2"),
    "tar.xz": lambda path: make_tar(path, "w:xz"),
    "tar.zst": make_zst,
    "folder": make_folder,
}
PACKED = [kind for kind in MAKERS if kind != "folder"]


def everything(into):
    return lambda name: into / name.replace("/", "+")


@pytest.mark.parametrize("kind", MAKERS)
def test_every_format_is_told_by_its_content_and_gives_its_files(tmp_path, kind):
    source = MAKERS[kind](tmp_path / "source.data")
    assert unpack(source, everything(tmp_path / "out")) == len(FILES)
    found = {path.name.replace("+", "/"): path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == FILES


def test_only_what_is_wanted_is_written(tmp_path):
    source = make_zip(tmp_path / "x.zip")
    assert unpack(source, lambda name: tmp_path / "out" / "b" if name.endswith("/b") else None) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, kind, share):
    source = MAKERS[kind](tmp_path / "source")
    content = source.read_bytes()
    end = int(len(content) * share) if kind != "tar" else int(share * 21_000) // 512 * 512
    source.write_bytes(content[:end])
    with pytest.raises((CorruptDataError, UsageError)):
        unpack(source, everything(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_damaged_byte_in_a_checked_format_is_noticed(tmp_path, kind):
    source = MAKERS[kind](tmp_path / "source")
    content = bytearray(source.read_bytes())
    content[1500] ^= 0xFF
    source.write_bytes(content)
    with pytest.raises(CorruptDataError, match="source"):
        unpack(source, everything(tmp_path / "out"))


@given(st.binary(max_size=600))
def test_noise_is_no_archive(tmp_path_factory, noise):
    source = tmp_path_factory.mktemp("noise") / "source"
    source.write_bytes(noise)
    with pytest.raises((CorruptDataError, UsageError)):
        unpack(source, lambda name: None)


@pytest.mark.parametrize("name", ["../escape", "a/../../escape", "/tmp/escape", "..\\escape", "C:/escape", "a\\..\\b"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out_are_refused(tmp_path, make, name):
    source = make(tmp_path / "source", files={name: b"x"})
    with pytest.raises(CorruptDataError, match="not unpacked"):
        unpack(source, everything(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    source = make_tar(tmp_path / "x.tar", files={}, extra=[info])
    with pytest.raises(CorruptDataError, match="a link or a device"):
        unpack(source, everything(tmp_path / "out"))


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    source = make_zip(tmp_path / "x.zip", files={}, extra=[info])
    with pytest.raises(CorruptDataError, match="a link or a device"):
        unpack(source, everything(tmp_path / "out"))


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_BYTES"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, make, limit):
    monkeypatch.setattr(archive, limit, 2)
    with pytest.raises(CorruptDataError, match="holds more than"):
        unpack(make(tmp_path / "source"), everything(tmp_path / "out"))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path):
    source = make_zip(tmp_path / "x.zip", files={"bomb": bytes(100_000)})
    content = source.read_bytes()
    source.write_bytes(content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(CorruptDataError):
        unpack(source, everything(tmp_path / "out"))
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 10


def test_without_zstd_the_error_names_its_package(tmp_path, monkeypatch):
    source = make_zst(tmp_path / "x.tar.zst")
    monkeypatch.setitem(sys.modules, archive._ZSTD_MODULE, None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        unpack(source, everything(tmp_path / "out"))
