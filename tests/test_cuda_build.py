"""The search for a CUDA toolkit, and the option BYHAND_CUDA of the build."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import find_cuda
import pytest
from find_cuda import FILES, Toolkit, ToolkitError, find_toolkit

ROOT = Path(__file__).parents[1]
ADVICE = (
    "Install a complete CUDA toolkit, for example with "
    "`pip install nvidia-cuda-nvcc nvidia-cuda-runtime`, or name another one with "
    "BYHAND_CUDA_TOOLKIT."
)

# A script that plays nvcc. It prints what find_cuda.py reads, and compiles or fails.
NVCC = """#!/bin/sh
case "$*" in
  *--version) echo "Cuda compilation tools, release {release}, V{release}.88" ;;
  *--dryrun)
    echo '#$ TOP={root}/bin/..' >&2
    echo '#$ INCLUDES="-I{root}/bin/../include" ' >&2
    echo '#$ LIBRARIES= "-L{root}/bin/../lib/stubs" "-L{root}/bin/../lib"' >&2 ;;
  *) {compile} ;;
esac
"""


def make_toolkit(root: Path, *, without: str = "", release: str = "13.0", error: str = "") -> Path:
    """Make a toolkit of empty files around a script that plays nvcc."""
    paths = [root / path.replace("lib*", "lib") for name, path in FILES.items() if name != without]
    for path in [*paths, root / "bin" / "nvcc"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    compiles = f"echo {error} >&2; false" if error else "false" if without else "true"
    script = NVCC.format(root=root, release=release, compile=compiles)
    (root / "bin" / "nvcc").write_text(script)
    (root / "bin" / "nvcc").chmod(0o755)
    return root


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hide every toolkit of this machine from tests that are not slow."""
    if request.node.get_closest_marker("slow"):
        return
    for name in ("CUDACXX", "CUDA_PATH", "CUDA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(find_cuda, "USUAL", Path("/nowhere"))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(find_cuda.sysconfig, "get_path", lambda name: "/nowhere")


def message(folder: Path | str = "") -> str:
    with pytest.raises(ToolkitError) as caught:
        find_toolkit(str(folder))
    return str(caught.value)


def nvcc_of(root: Path) -> str:
    return str(root / "bin" / "nvcc")


def test_a_complete_toolkit(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path)
    runtime = str(root / "lib" / "libcudart_static.a")
    assert find_toolkit(str(root)) == Toolkit(root, nvcc_of(root), str(root / "include"), runtime)


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_toolkit(tmp_path: Path, name: str) -> None:
    root = make_toolkit(tmp_path, without=name)
    assert message(root) == f"The CUDA toolkit in {root} has no {name}.\n{ADVICE}"


def test_two_files_are_missing(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path, without="ptxas")
    (root / "include" / "cuda_runtime.h").unlink()
    missing = f"The CUDA toolkit in {root} has no ptxas, no cuda_runtime.h."
    assert message(root) == f"{missing}\n{ADVICE}"


def test_headers_and_libraries_of_one_of_several_processors(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path, without="ptxas")
    target = root / "targets" / "x86_64-linux"
    target.mkdir(parents=True)
    for name in ("include", "lib"):
        (root / name).rename(target / name)
    assert message(root) == f"The CUDA toolkit in {root} has no ptxas.\n{ADVICE}"


def test_no_nvcc(tmp_path: Path) -> None:
    assert message(tmp_path) == f"{nvcc_of(tmp_path)} does not exist.\n{ADVICE}"
    assert message() == (
        f"There is no CUDA compiler (nvcc) on PATH or among Python's packages.\n{ADVICE}"
    )


def test_an_old_nvcc(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path, release="11.8")
    old = f"{nvcc_of(root)} is of CUDA 11.8, but byhand needs 13.0 or newer."
    assert message(root) == f"{old}\n{ADVICE}"


def test_an_nvcc_that_does_not_start(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path)
    (root / "bin" / "nvcc").write_text("#!/bin/sh\necho broken\nexit 3\n")
    assert message(root) == f"{nvcc_of(root)} --version fails: broken\n{ADVICE}"
    (root / "bin" / "nvcc").chmod(0o644)
    assert "Permission denied" in message(root)


def test_what_nvcc_says_is_shown(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path, error="unsupported GNU version")
    why = f"{nvcc_of(root)} cannot compile a small program: unsupported GNU version"
    assert message(root) == f"{why}\n{ADVICE}"


def test_the_host_compiler_is_passed_on(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path, error='"$@"')
    with pytest.raises(ToolkitError, match=r" -ccbin g\+\+-13 "):
        find_toolkit(str(root), "g++-13")


def test_the_order_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named first counts alone. What is found must be complete to count."""
    usual = make_toolkit(tmp_path / "usual")
    monkeypatch.setattr(find_cuda, "USUAL", usual)
    assert find_toolkit().nvcc == nvcc_of(usual)
    pypi = make_toolkit(tmp_path / "site-packages" / "nvidia" / "cu13")
    monkeypatch.setattr(find_cuda.sysconfig, "get_path", lambda name: f"{tmp_path}/site-packages")
    assert find_toolkit().nvcc == nvcc_of(pypi)
    on_path = make_toolkit(tmp_path / "on_path")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    assert find_toolkit().nvcc == nvcc_of(on_path)
    (on_path / FILES["cicc"]).unlink()
    (on_path / "bin" / "nvcc").write_text(
        NVCC.format(root=on_path, release="13.0", compile="false")
    )
    assert find_toolkit().nvcc == nvcc_of(pypi)
    for name in ("CUDA_HOME", "CUDA_PATH"):
        folder = make_toolkit(tmp_path / name)
        monkeypatch.setenv(name, str(folder))
        assert find_toolkit().nvcc == nvcc_of(folder)
    monkeypatch.setenv("CUDACXX", "nvcc")
    assert message().startswith(f"The CUDA toolkit in {on_path} has no cicc.")
    assert find_toolkit(str(usual)).nvcc == nvcc_of(usual)


def test_the_first_problem_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = make_toolkit(tmp_path / "on_path", without="cicc")
    monkeypatch.setenv("PATH", str(on_path / "bin"))
    monkeypatch.setattr(find_cuda, "USUAL", make_toolkit(tmp_path / "usual", without="ptxas"))
    assert message() == f"The CUDA toolkit in {on_path} has no cicc.\n{ADVICE}"


def mirror(folder: Path, copy: Path, depth: int = 4) -> None:
    """Make a folder of links to the files of another one, but copy nvcc, which follows links."""
    copy.mkdir()
    for path in folder.iterdir():
        if path.is_dir() and depth:
            mirror(path, copy / path.name, depth - 1)
        elif path.name == "nvcc":
            shutil.copy(path, copy)
        else:
            (copy / path.name).symlink_to(path)


@pytest.mark.slow
def test_nvcc_needs_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one file at a time from a real toolkit, if this machine has one."""
    try:
        real = find_toolkit().root
    except ToolkitError as error:
        pytest.skip(f"no CUDA toolkit here: {error}")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    root = tmp_path / "toolkit"
    mirror(real, root)
    if not all(any(root.rglob(path)) for path in FILES.values()):
        pytest.skip("this toolkit is spread over the folders of the system")
    assert find_toolkit(str(root)).root == root
    for name, path in FILES.items():
        files = [*root.glob(path), *root.glob(f"targets/*/{path}")]
        for file in files:
            file.rename(file.with_suffix(".hidden"))
        assert message(root) == f"The CUDA toolkit in {root} has no {name}.\n{ADVICE}"
        for file in files:
            file.with_suffix(".hidden").rename(file)


def configure(folder: Path, *definitions: str) -> str:
    """Run CMake's configuration, which must fail, and return its message with single spaces."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("there is no cmake on PATH")
    command = [cmake, "-S", str(ROOT), "-B", str(folder), *(f"-D{d}" for d in definitions)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return " ".join(done.stderr.split())


@pytest.mark.slow
def test_cmake_knows_three_values(tmp_path: Path) -> None:
    output = configure(tmp_path, "BYHAND_CUDA=AUTO")
    assert "BYHAND_CUDA is AUTO, but it must be OFF, ON or EMULATE." in output


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("pybind11"), reason="CMake needs pybind11")
def test_cmake_says_what_is_missing(tmp_path: Path) -> None:
    root = make_toolkit(tmp_path / "toolkit", without="cicc")
    output = configure(
        tmp_path / "build",
        "BYHAND_CUDA=ON",
        f"BYHAND_CUDA_TOOLKIT={root}",
        f"Python_EXECUTABLE={sys.executable}",
    )
    assert f"BYHAND_CUDA=ON: The CUDA toolkit in {root} has no cicc. {ADVICE}" in output


@pytest.mark.slow
def test_the_emulator_compiles_without_any_package(tmp_path: Path) -> None:
    """CMake compiles for the emulator before byhand and what it depends on are installed."""
    script, target = ROOT / "cmake" / "compile_emulated.py", tmp_path / "count_correct.o"
    source = ROOT / "csrc" / "cuda" / "count_correct.cu"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-S", str(script), str(target), str(source)]
    subprocess.run(command, env=environment, check=True)
    symbols = subprocess.run(["nm", str(target)], capture_output=True, text=True, check=True)
    assert " U __tsan_read4" in symbols.stdout
    bad = tmp_path / "bad.cu"
    bad.write_text("int f() { return unknown_name; }\n")
    done = subprocess.run([*command[:-1], str(bad)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bad.cu" in done.stderr
    assert "Traceback" not in done.stderr
