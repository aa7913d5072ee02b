"""Each of a user's files sees the modules beside it, in whatever order and process the files are loaded."""

import colorsys
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import packaging.version
import pytest

from space.errors import UserError
from space.user_code import find_code, find_object

ROOT = Path(__file__).parents[2]
FORMS = {
    "a statement": "import layers\ndef make(): return layers.which",
    "a name": "from layers import which\ndef make(): return which",
    "a statement in a function": "def make():\n    import layers\n    return layers.which",
    "a package": "import parts.block\ndef make(): return parts.block.which",
    "a name in a package": "from parts import block\ndef make(): return block.which",
    "a package in a function": "def make():\n    from parts.block import which\n    return which",
    "a module that imports another": "import between\ndef make(): return between.which()",
    "a module in a circle": "import first\ndef make(): return first.second.which()",
    "a folder that is no package": "from loose import layer\ndef make(): return layer.which",
}


def write(folder: Path, which: str) -> Path:
    """A folder with modules of the same names as in others, all of which say which folder it is."""
    files = {
        "layers.py": f"which = {which!r}",
        "parts/__init__.py": "",
        "parts/block.py": "from .norm import which",
        "parts/norm.py": "from parts.deep import which",
        "parts/deep.py": f"which = {which!r}",
        "between.py": "def which():\n    from layers import which\n    return which",
        "first.py": f"import second\nname = {which!r}",
        "second.py": "import first\ndef which(): return first.name",
        "loose/layer.py": "from layers import which",
        **{f"net{number}.py": text for number, text in enumerate(FORMS.values())},
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_each_file_gets_the_module_beside_it(tmp_path: Path, form: str) -> None:
    folders = [write(tmp_path / which, which) for which in "abc"]
    file = f"net{list(FORMS).index(form)}.py:make"
    made = [find_object(f"{folder}/{file}") for folder in folders]
    for order in itertools.permutations(range(3)):
        assert [made[number]() for number in order] == ["abc"[number] for number in order]


def test_in_a_fresh_process_a_name_means_the_same(tmp_path: Path) -> None:
    names = [f"{write(tmp_path / which, which)}/net0.py:make" for which in "ab"]
    program = "import sys; from space.user_code import find_object; print(*(find_object(n)() for n in sys.argv[1:]))"
    for order in (names, names[::-1], names[:1], names[1:]):
        ended = subprocess.run(
            [sys.executable, "-c", program, *order], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert ended.stdout.split() == [find_object(name)() for name in order]


def test_a_module_of_the_current_folder_sees_those_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "a")
    monkeypatch.chdir(write(tmp_path / "b", "b"))
    other = find_object(f"{tmp_path}/a/net0.py:make")
    assert find_object("parts.block:which") == "b"
    assert find_object("net0:make")() == "b"
    assert other() == "a"


def test_a_module_beside_comes_before_one_that_is_installed_for_the_users_files_alone(tmp_path: Path) -> None:
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging" / "__init__.py").write_text("mine = 1")
    (tmp_path / "colorsys.py").write_text("mine = 2")
    (tmp_path / "net.py").write_text("import colorsys, packaging\ndef make(): return packaging.mine + colorsys.mine")
    assert find_object(f"{tmp_path}/net.py:make")() == 3
    assert sys.modules["packaging"].__dict__["version"] is packaging.version
    assert sys.modules["colorsys"] is colorsys


def test_a_folder_of_files_hides_no_installed_package(tmp_path: Path) -> None:
    (tmp_path / "packaging").mkdir()
    (tmp_path / "net.py").write_text("import packaging")
    assert find_object(f"{tmp_path}/net.py:packaging") is packaging


def test_what_is_loaded_from_the_same_file_already_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert find_object("space.errors:UserError") is UserError
    assert sys.modules["space.errors"].__dict__["UserError"] is UserError


def test_a_computed_import_is_relative_to_the_package_and_of_what_a_statement_names(tmp_path: Path) -> None:
    text = (
        "import importlib, layers\n"
        "def make(): return importlib.import_module('.layers', __package__).which\n"
        "def unknown(): return importlib.import_module('.between', __package__)\n"
        "def bare(): return importlib.import_module('layers')\n"
    )
    for which in "ab":
        (write(tmp_path / which, which) / "net.py").write_text(text)
    made = [find_object(f"{tmp_path}/{which}/net.py:make") for which in "ab"]
    assert [make() for make in made] == ["a", "b"]
    with pytest.raises(ImportError, match="No module named 'between' that an import statement names"):
        find_object(f"{tmp_path}/a/net.py:unknown")()
    with pytest.raises(ImportError, match="No module named 'layers'"):
        find_object(f"{tmp_path}/a/net.py:bare")()


def test_a_file_imports_relatively_what_is_beside_it(tmp_path: Path) -> None:
    (write(tmp_path, "a") / "net.py").write_text("from . import layers\nfrom .parts.block import which\n")
    assert find_object(f"{tmp_path}/net.py:layers").which == find_object(f"{tmp_path}/net.py:which") == "a"


def test_a_class_of_a_module_beside_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("class Mine: pass")
    (tmp_path / "net.py").write_text("from layers import Mine")
    mine = find_object(f"{tmp_path}/net.py:Mine")
    assert pickle.loads(pickle.dumps(mine)) is mine


def test_the_files_of_an_object_are_those_that_it_imports_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a")

    def files(name: str) -> set[str]:
        code = find_code(name)
        return set() if code is None else {file for file, _ in code.files}

    parts = {"parts/__init__.py", "parts/block.py", "parts/norm.py", "parts/deep.py"}
    expected = [{"layers.py"}] * 3 + [parts] * 3
    expected += [{"between.py", "layers.py"}, {"first.py", "second.py"}, {"loose/layer.py", "layers.py"}]
    for number, names in enumerate(expected):
        assert files(f"{tmp_path}/net{number}.py:make") == {f"net{number}.py"} | names
    monkeypatch.chdir(tmp_path)
    assert files("net0.py:make") == files("net0:make") == {"net0.py", "layers.py"}
    assert files("parts.block:which") == parts
    assert files("torch.nn:Linear") == set()


def test_the_files_of_an_object_leave_out_what_cannot_be_read_as_python(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make():\n    import broken, nowhere, torch")
    (tmp_path / "broken.py").write_text("def (:")
    code = find_code(f"{tmp_path}/net.py:make")
    assert code is not None
    assert [file for file, _ in code.files] == ["broken.py", "net.py"]
