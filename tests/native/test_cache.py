"""Objects on disk are found again, never believed when damaged, never in the way when they cannot be kept."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
import warnings

import pytest

from retrograd.native import cache, jit

TEXT = "define i64 @answer() { ret i64 42 }\n"
SCRIPT = f"""
import ctypes, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from retrograd.native import jit
library = jit.load('''{TEXT}''', key="step")
print(ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("answer"))())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "cache"))
    cache._open.cache_clear()
    yield tmp_path / "cache"
    cache._open.cache_clear()


def answer(key=""):
    library = jit.load(TEXT, key=key)
    return ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("answer"))()


def files(folder):
    return sorted(folder.glob("*.o"))


def run(folder, **environment):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"RETROGRAD_CACHE": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_process_finds_what_the_first_compiled(folder):
    assert run(folder).stdout.startswith("step: compiled in")
    second = run(folder)
    assert second.stdout.startswith("step: found in the cache in")
    assert second.stdout.endswith("42\n")


def test_the_digest_tells_divisions_apart():
    assert cache.digest(["ab", "c"]) != cache.digest(["a", "bc"])
    assert cache.digest(["a"]) != cache.digest(["a", ""])
    assert cache.digest(["a", "b"]) == cache.digest(["a", "b"])


def test_the_folder_and_its_files_are_for_the_owner_only(folder):
    assert answer() == 42
    assert folder.stat().st_mode & 0o777 == 0o700
    (file,) = files(folder)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(folder.iterdir()) == [file]


def cut(content):
    return content[:-7]


def flip(content):
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def empty(content):
    return b""


def other_version(content):
    return content.replace(b"object 1", b"object 9", 1)


@pytest.mark.parametrize("damage", [cut, flip, empty, other_version])
def test_a_damaged_file_is_told_of_and_compiled_again(folder, damage):
    assert answer() == 42
    (file,) = files(folder)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match="is damaged: it is deleted"):
        assert answer() == 42
    assert file.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer() == 42


def test_the_user_sees_the_warning(folder):
    run(folder)
    (file,) = files(folder)
    file.write_bytes(cut(file.read_bytes()))
    done = run(folder)
    assert f"UserWarning: {file} is damaged" in done.stderr
    assert done.stdout.endswith("42\n")


def test_a_file_under_another_key_is_damaged(folder):
    answer("one")
    answer("two")
    one, two = files(folder)
    two.write_bytes(one.read_bytes())
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.current().load(two.stem) is None


def test_a_folder_that_cannot_be_made_is_told_of_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="keeps no compiled code on disk.*RETROGRAD_CACHE"):
        assert answer() == 42
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer("again") == 42


def test_a_folder_that_others_may_write_to_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="others may write to the folder"):
        assert answer() == 42
    assert not files(folder)


def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.warns(UserWarning, match="this process to 12345"):
        assert answer() == 42
    assert not files(folder)


def test_a_failing_write_is_told_of_once_and_what_is_there_is_still_read(folder, monkeypatch):
    assert answer("kept") == 42

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.warns(UserWarning, match="stores no more compiled code.*No space left"):
        assert answer("lost") == 42
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer("lost too") == 42
        (kept,) = files(folder)
        assert cache.current().load(kept.stem)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_told_of(folder):
    folder.mkdir(mode=0o500)
    with pytest.warns(UserWarning, match="stores no more compiled code"):
        assert answer() == 42


def test_an_interrupted_write_leaves_no_file(folder, monkeypatch):
    current = cache.current()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(folder), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        current.store("a" * 64, b"object")
    assert list(folder.iterdir()) == []


def test_no_cache_when_it_is_switched_off(folder, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    assert cache.current() is None
    assert answer() == 42


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({"XDG_CACHE_HOME": "{tmp}/xdg"}, "xdg/retrograd"), ({"HOME": "{tmp}/home"}, "home/.cache/retrograd")],
)
def test_where_the_cache_is_by_default(tmp_path, monkeypatch, environment, expected):
    monkeypatch.delenv("RETROGRAD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))
    cache._open.cache_clear()
    assert cache.current().folder == tmp_path / expected


def test_what_was_used_longest_ago_is_evicted(folder):
    small = cache.Cache(folder, 4000)
    folder.mkdir()
    now = time.time()
    for index, key in enumerate("abcdefgh"):
        small.store(key, bytes(900))
        os.utime(folder / f"{key}.o", (now, now - 90000 + index))
    small.sweep()
    small.load("e")  # using a file makes it young
    assert [file.stem for file in files(folder)] == ["e", "f", "g", "h"]
    small.store("i", bytes(900))
    small.sweep()
    assert [file.stem for file in files(folder)] == ["e", "h", "i"]


def test_the_size_stays_bounded_while_storing(folder):
    small = cache.Cache(folder, 20_000)
    folder.mkdir()
    for index in range(100):
        small.store(f"{index}", bytes(1000))
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 20_000 * 9 // 8 + 2000
    assert small.load("99") == bytes(1000)


def test_what_a_dead_writer_left_is_swept(folder):
    current = cache.current()
    old, young = folder / "a.0.tmp", folder / "b.0.tmp"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (0, 0))
    current.sweep()
    assert not old.exists()
    assert young.exists()


def test_a_size_that_is_no_number_is_told_of(folder, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE_SIZE", "many")
    with pytest.warns(UserWarning, match="RETROGRAD_CACHE_SIZE: expected a number of MiB; got 'many'"):
        assert cache.current().size == 512 << 20


def test_processes_that_compile_the_same_at_once_agree(folder):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert (out.splitlines()[-1], err) == ("42", "")
    assert len(list(folder.iterdir())) == 1


def test_threads_that_read_write_and_sweep_at_once_see_whole_files(folder):
    small = cache.Cache(folder, 5000)
    folder.mkdir()
    wrong = []

    def work(seed):
        for step in range(200):
            key = str((seed * 7 + step) % 10)
            small.store(key, key.encode() * 700)
            found = small.load(key)
            if found not in (None, key.encode() * 700):
                wrong.append(found)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
