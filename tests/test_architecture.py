"""A file uses only folders below its own. The tests read #include lines and imports."""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "byhand"

# The contracts between drivers and kernels. These headers do not depend on an instruction set.
CONTRACTS = {
    path.relative_to(CSRC).as_posix()
    for path in (CSRC / "cpu" / "kernels").glob("*.h")
    if "BYHAND_ISA" not in path.read_text()
}
# Which of our headers the files of a folder may include. Drivers are in `cpu` and in the folders of
# its two large subjects. `direct` and `winograd` do not include each other.
DRIVERS = {"core", "ops", "cpu", "cpu/runtime"} | CONTRACTS
SUMS = "cpu/conv2d/ordered_sums.h"
MAY_INCLUDE = {
    "core": {"core"},
    "ops": {"core", "ops"},
    "cpu/vec": {"cpu/vec"},
    "cpu/kernels": {"cpu/kernels", "cpu/vec", "cpu/kernel_table.h", "core/adam.h"},
    "cpu/runtime": {"core", "cpu/runtime", "cpu/kernel_table.h"} | CONTRACTS,
    "cpu": DRIVERS,
    "cpu/gemm": DRIVERS | {"cpu/gemm"},
    "cpu/conv2d/direct": DRIVERS | {"cpu/conv2d/direct", SUMS},
    "cpu/conv2d/winograd": DRIVERS | {"cpu/conv2d/winograd", SUMS},
    "cpu/conv2d": DRIVERS | {"cpu/conv2d", "cpu/conv2d/direct", "cpu/conv2d/winograd"},
    "bindings": {"core", "ops", "bindings"},
    "cuda": {"core", "ops", "cuda"},
    "ladder": set(),
    "ladder/gemm": {"ladder"},
    "ladder/conv2d": {"ladder", "ladder/conv2d", "ladder/gemm"},
    "simt": {"simt", "simt/include"},
    "simt/include": {"simt/include"},
}
DRIVER_FOLDERS = {folder for folder in MAY_INCLUDE if folder.startswith("cpu")} - {
    "cpu/vec",
    "cpu/kernels",
    "cpu/runtime",
}
# These bindings call the runtime directly, because it has no operators.
RUNTIME_BINDINGS = {"module.cc", "bind_runtime.cc", "bind_testing.cc"}
RUNTIME_HEADERS = {
    "cpu/runtime",
    "cpu/conv2d/method.h",
}

# A module or a folder may import those that come before it in this list.
PYTHON_ORDER = [
    "checks",
    "files",
    "cxx",
    "_core",
    "kernels",
    "cuda",
    "runtime",
    "engine",
    "nn",
    "optim",
    "models",
    "training",
    "data",
    "plots",
    "mpi",
    "sklearn",
    "pictures",
    "export",
    "demo",
    "reproduce",
    "simt",
    "bench",
    "cli",
    "__main__",
]
CORE = PYTHON_ORDER[: PYTHON_ORDER.index("plots")]
CORE_MAY_IMPORT = {"numpy", "safetensors", "platformdirs"}

CPP_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".h", ".cc", ".cu", ".cuh"})
PYTHON_FILES = sorted(
    [p for p in PACKAGE.rglob("*.py") if "bench" not in p.parts and p != PACKAGE / "__init__.py"]
    + list((ROOT / "bench").glob("*.py"))
)


def folder(path: Path) -> str:
    return path.relative_to(CSRC).parent.as_posix()


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def found(pattern: str, paths: list[Path]) -> list[str]:
    """Return a message for each match of the pattern in the files, which must not be empty."""
    assert paths
    return [
        f"{relative(path)} has {match.group()!r}"
        for path in paths
        for match in re.finditer(pattern, path.read_text())
    ]


def test_includes_look_down_only() -> None:
    wrong = []
    for path in CPP_FILES:
        allowed = MAY_INCLUDE[folder(path)]
        if path.name in RUNTIME_BINDINGS:
            allowed = allowed | RUNTIME_HEADERS
        for header in re.findall(r'#include "([^"]+)"', path.read_text()):
            if not (CSRC / header).is_file():
                wrong.append(f"{relative(path)}: {header} is not named from csrc/")
            elif header not in allowed and Path(header).parent.as_posix() not in allowed:
                wrong.append(f"{relative(path)} may not include {header}")
            elif header == "cpu/kernel_table.h" and folder(path) in DRIVER_FOLDERS:
                wrong.append(f"{relative(path)} needs contracts, not the table of all kernels")
    assert not wrong
    assert {"cpu/kernels/gemm.h", "cpu/kernels/pool2d.h"} <= CONTRACTS


def test_kernels_use_no_library() -> None:
    kernels = [p for p in CPP_FILES if folder(p) == "cpu/kernels"]
    vectors = [p for p in CPP_FILES if folder(p) == "cpu/vec"]
    library = r"\bstd::|\bstatic (?!constexpr|Vec|HalfVec|IVec|_assert)|\bthrow\b|\bnew\b"
    assert not found(library, kernels + vectors)
    assert not found(r"#include <(?!stdint\.h>).*", kernels)
    assert not found(r"#include <(?!(stdint|immintrin|arm_neon)\.h>).*", vectors)


def test_drivers_use_neither_intrinsics_nor_python() -> None:
    drivers = [p for p in CPP_FILES if folder(p) in DRIVER_FOLDERS | {"ops"}]
    assert not found(r"_mm\d*_|immintrin|pybind11|__attribute__", drivers)


def test_bindings_do_not_compute() -> None:
    bindings = [p for p in (CSRC / "bindings").glob("bind_*.cc") if p.name not in RUNTIME_BINDINGS]
    assert not found(r"\bfor \(.*data\(\)|\bdata\(\)\[", bindings)


def package_path(path: Path) -> Path:
    """Return the path of a file in the installed package."""
    return path.relative_to(ROOT if path.parent == ROOT / "bench" else PACKAGE)


def module_of(path: Path) -> str:
    return package_path(path).with_suffix("").parts[0]


@functools.cache
def imports(path: Path) -> set[str]:
    """Return the full names of all imports of a file, at its top or inside functions."""
    package = ["byhand", *package_path(path).parent.parts]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def test_imports_look_down_only() -> None:
    top = {"get_num_threads", "num_threads", "set_num_threads", "show_config", "__version__"}
    wrong = []
    for path in PYTHON_FILES:
        own = module_of(path)
        below = set(PYTHON_ORDER[: PYTHON_ORDER.index(own) + 1])
        allowed = below | top if own in {"cli", "bench"} else below
        used = {name.split(".")[1] for name in imports(path) if name.startswith("byhand.")}
        wrong += [f"{relative(path)} may not import {name}" for name in sorted(used - allowed)]
    assert not wrong


def test_no_folder_has_a_circle_of_imports() -> None:
    """No two modules import each other.

    `from byhand.nn.module import Layer` counts as an import of byhand.nn.module, even if byhand.nn
    exports Layer.
    """
    modules = {
        ".".join(["byhand", *package_path(path).with_suffix("").parts]): path
        for path in PYTHON_FILES
        if path.name != "__init__.py"
    }
    needs = {
        module: {other for other in modules if any(f"{n}.".startswith(f"{other}.") for n in used)}
        for module, used in ((module, imports(path)) for module, path in modules.items())
    }
    while free := {module for module, others in needs.items() if not others - {module}}:
        needs = {module: others - free for module, others in needs.items() if module not in free}
    assert not needs, f"these modules import each other: {sorted(needs)}"


def test_the_core_imports_numpy_safetensors_and_platformdirs_alone() -> None:
    allowed = sys.stdlib_module_names | CORE_MAY_IMPORT | {"byhand"}
    wrong = []
    for path in (p for p in PYTHON_FILES if module_of(p) in CORE):
        used = {name.split(".")[0] for name in imports(path)}
        wrong += [f"{relative(path)} may not import {name}" for name in sorted(used - allowed)]
    assert not wrong


@pytest.mark.parametrize("name", ["nn", "engine", "optim"])
def test_layers_never_compute_with_numpy(name: str) -> None:
    """Layers use NumPy for types, shapes and random draws only. Kernels do the arithmetic."""
    harmless = {
        "ndarray",
        "bool_",
        "float32",
        "float64",
        "int32",
        "int64",
        "uint8",
        "zeros",
        "integer",
        "asarray",
        "dtype",
        "random",
    }
    used = set()
    for path in (PACKAGE / name).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "np"
            ):
                used.add(node.attr)
    assert used <= harmless, sorted(used - harmless)


def test_stems_of_operators_are_the_same_everywhere() -> None:
    stems = {p.stem for p in (CSRC / "ops").glob("*.h")} - {"device"}
    assert {"gemm", "linear", "conv2d", "pool2d", "activation"} <= stems
    for stem in stems:
        drivers = [path for path in CPP_FILES if folder(path) in DRIVER_FOLDERS]
        assert [path.name for path in drivers].count(f"{stem}.cc") == 1, stem
        assert (CSRC / "bindings" / f"bind_{stem}.cc").is_file()
        assert (ROOT / "tests" / f"test_{stem}.py").is_file()
