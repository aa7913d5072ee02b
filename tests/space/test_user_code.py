"""Objects by name, from a Python file or a module, and that their code travels."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from space.errors import UserError
from space.user_code import UserCode, find_code, find_object, full_name


def write(folder: Path, text: str, name: str = "own.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def error(call: Callable[[], object]) -> str:
    """The one line that a mistake gets."""
    with pytest.raises(UserError) as raised:
        call()
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_an_object_comes_from_a_file_or_from_a_module(tmp_path: Path) -> None:
    path = write(tmp_path, "def seven(): return 7")
    assert find_object(f"{path}:seven")() == 7
    assert find_object("pathlib:Path") is Path
    assert find_object("os.path:join") is os.path.join


def test_a_file_is_run_once_for_each_content_and_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "class Mine: pass")
    first = find_object(f"{path}:Mine")
    assert find_object(f"{path}:Mine") is first
    copy = write(tmp_path, "class Mine: pass", "copy/own.py")
    assert find_object(f"{copy}:Mine") is not first  # it may read other files beside it
    write(tmp_path, "class Mine: size = 2")
    assert find_object(f"{path}:Mine").size == 2


def test_a_file_sees_its_own_path_and_the_modules_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "answer = 42", "beside_this_one.py")
    path = write(tmp_path, "from beside_this_one import answer\nhere = __file__\n")

    assert find_object(f"{path}:answer") == 42
    assert find_object(f"{path}:here") == str(path)


def test_a_package_beside_the_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "", "nets_of_mine/__init__.py")
    write(tmp_path, "def make(): return 1", "nets_of_mine/small.py")
    assert find_object("nets_of_mine.small:make")() == 1


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Mine:\n    x: int = 3"
    )
    assert find_object(f"{write(tmp_path, text)}:Mine")().x == 3


def test_a_file_is_no_program(tmp_path: Path) -> None:
    path = write(tmp_path, "ran = __name__ == '__main__'")
    assert find_object(f"{path}:ran") is False


def test_the_full_name_means_the_same_in_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert full_name("sub/own.py:make") == f"{tmp_path}/sub/own.py:make"
    assert full_name("~/own.py:make") == "/home/me/own.py:make"
    assert full_name("package.module:make") == "package.module:make"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("raise KeyError('a')", ["own.py raises KeyError when it is imported: 'a'"]),
        ("raise ValueError('\\n\\nsecond line\\nthird')", ["raises ValueError when it is imported: second line"]),
        ("def make(:", ["raises SyntaxError", "own.py, line 1"]),
        ("import nothing_of_this_name", ["raises ModuleNotFoundError", "nothing_of_this_name"]),
        ("import sys; sys.exit(3)", ["raises SystemExit", "3"]),
        ("def makes(): pass\nx = 3", ["own.py has no 'make'; it has makes"]),
        ("x = 3", ["own.py has no 'make'; it has nothing to call"]),
    ],
)
def test_a_file_that_does_not_do_gets_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path, text)
    for _ in range(2):  # nothing of the first attempt is left
        message = error(lambda: find_object(f"{path}:make"))
        assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_what_is_no_python_file_gets_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "own.py"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    assert error(lambda: find_object(f"{path}:make")) == f"{path}: no such Python file"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("no_such_module:make", ["no module 'no_such_module'"]),
        ("pathlib:Pat", ["pathlib has no 'Pat'; it has Path"]),
        (":make", ["''", "ValueError"]),
        ("pathlib:", ["pathlib has no ''"]),
        ("..pathlib:Path", ["'..pathlib'", "TypeError"]),
    ],
)
def test_a_wrong_name_gets_one_line(name: str, parts: list[str]) -> None:
    message = error(lambda: find_object(name))
    assert [part for part in parts if part not in message] == []


def test_a_module_that_exits_or_raises_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "raise SystemExit('usage')", "exits_at_once.py")
    message = error(lambda: find_object("exits_at_once:make"))
    assert message == f"{tmp_path}/exits_at_once.py raises SystemExit when it is imported: usage"


def test_an_error_names_modules_as_the_user_does(tmp_path: Path) -> None:
    write(tmp_path, "", "parts/__init__.py")
    path = write(tmp_path, "import parts.nowhere")
    assert "No module named 'parts.nowhere'" in error(lambda: find_object(f"{path}:make"))


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    write(tmp_path, "which = 1", "layers.py")
    for name in ("net.v2.py", "my-net.py", "__init__.py"):
        assert find_object(f"{write(tmp_path, 'from layers import which', name)}:which") == 1


def test_the_digest_is_that_of_all_files_wherever_they_are(tmp_path: Path) -> None:
    def digest(folder: str, layers: str, unused: str = "") -> str:
        for name, text in (("layers.py", layers), ("unused.py", unused)):
            write(tmp_path / folder, text, name)
        code = find_code(f"{write(tmp_path / folder, 'import layers')}:layers")
        assert code is not None
        return code.digest

    first = digest("a", "x = 1")
    assert first == digest("b", "x = 1", "x = 2")
    assert first != digest("a", "x = 2")


def test_our_own_code_is_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert find_code("space.errors:UserError") is None
    code = find_code("tests/space/test_user_code.py:write")
    assert code is not None
    assert [file for file, _ in code.files] == ["test_user_code.py"]


def test_what_was_sent_comes_before_what_the_file_says_here(tmp_path: Path) -> None:
    path = write(tmp_path, "which = 1")
    code = UserCode.of_file(path)
    program = (
        "import pickle, sys; pickle.load(sys.stdin.buffer); from space.user_code import find_object\n"
        f"print(find_object('{path}:which'))"
    )
    write(tmp_path, "which = 2")
    ended = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(code), capture_output=True, check=True)
    assert ended.stdout.split() == [b"1"]
    assert find_object(f"{path}:which") == 2
