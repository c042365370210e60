"""The one-way rule: a file uses only what stands below it. Read from #include lines and imports."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "byhand"

# Which of our headers the files of a folder may include. `cpu` are the drivers.
MAY_INCLUDE = {
    "core": {"core"},
    "ops": {"core", "ops"},
    "cpu/vec": {"cpu/vec"},
    "cpu/kernels": {"cpu/kernels", "cpu/vec", "cpu/kernel_table.h"},
    "cpu/runtime": {"core", "cpu/runtime", "cpu/kernel_table.h"},
    "cpu": {"core", "ops", "cpu", "cpu/runtime", "cpu/kernel_table.h"},
    "bindings": {"core", "ops", "bindings"},
}
# The runtime has no operators: these bindings speak to it directly.
RUNTIME_BINDINGS = {"module.cc", "bind_runtime.cc", "bind_testing.cc"}
RUNTIME_HEADERS = {
    "cpu/runtime",
    "cpu/kernel_table.h",
    "cpu/gemm_ladder.h",
    "cpu/conv2d_method.h",
}

# A module may import those that stand before it.
PYTHON_ORDER = [
    "words",
    "_core",
    "kernels",
    "runtime",
    "engine",
    "plans",
    "parameters",
    "module",
    "normalization",
    "containers",
    "nn",
    "initializers",
    "fusion",
    "losses",
    "optim",
    "schedules",
    "checkpoint",
    "picture_form",
    "model",
    "models",
    "events",
    "history",
    "progress",
    "run_folder",
    "evaluation",
    "averages",
    "steps",
    "training",
    "recipes",
    "data",
    "plotting",
    "curves",
    "sklearn",
    "handlers",
    "pictures",
    "reproduce",
    "bench",
    "cli",
    "__main__",
]
CORE = PYTHON_ORDER[: PYTHON_ORDER.index("plotting")]
CORE_MAY_IMPORT = {"numpy", "safetensors", "platformdirs"}

CPP_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".h", ".cc"})
PYTHON_FILES = sorted(
    [p for p in PACKAGE.rglob("*.py") if "bench" not in p.parts and p != PACKAGE / "__init__.py"]
    + list((ROOT / "bench").glob("*.py"))
)


def folder(path: Path) -> str:
    return path.relative_to(CSRC).parent.as_posix()


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CPP_FILES, ids=relative)
def test_includes_look_down_only(path: Path) -> None:
    allowed = MAY_INCLUDE[folder(path)]
    if path.name in RUNTIME_BINDINGS:
        allowed = allowed | RUNTIME_HEADERS
    for header in re.findall(r'#include "([^"]+)"', path.read_text()):
        assert (CSRC / header).is_file(), f"{header} is not named from csrc/"
        assert header in allowed or Path(header).parent.as_posix() in allowed, header


@pytest.mark.parametrize(
    "path", [p for p in CPP_FILES if folder(p) in {"cpu/kernels", "cpu/vec"}], ids=relative
)
def test_kernels_use_no_library(path: Path) -> None:
    text = path.read_text()
    system = set(re.findall(r"#include <([^>]+)>", text))
    assert system <= ({"stdint.h", "immintrin.h"} if "vec" in path.parts[-2] else set())
    assert not re.search(
        r"\bstd::|\bstatic (?!constexpr|Vec|HalfVec|IVec|_assert)|\bthrow\b|\bnew\b", text
    )


@pytest.mark.parametrize(
    "path", [p for p in CPP_FILES if folder(p) in {"cpu", "ops"}], ids=relative
)
def test_drivers_use_neither_intrinsics_nor_python(path: Path) -> None:
    assert not re.search(r"_mm\d*_|immintrin|pybind11|__attribute__", path.read_text())


@pytest.mark.parametrize("path", sorted((CSRC / "bindings").glob("bind_*.cc")), ids=relative)
def test_bindings_do_not_compute(path: Path) -> None:
    if path.name in RUNTIME_BINDINGS:
        return
    assert not re.search(r"\bfor \(.*data\(\)|\bdata\(\)\[", path.read_text())


def package_path(path: Path) -> Path:
    """The path of a file in the installed package."""
    return path.relative_to(ROOT if path.parent == ROOT / "bench" else PACKAGE)


def module_of(path: Path) -> str:
    return package_path(path).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Full names of everything that a file imports, at its top or inside functions."""
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


@pytest.mark.parametrize("path", PYTHON_FILES, ids=relative)
def test_imports_look_down_only(path: Path) -> None:
    own = module_of(path)
    below = set(PYTHON_ORDER[: PYTHON_ORDER.index(own) + 1])
    used = {name.split(".")[1] for name in imports(path) if name.startswith("byhand.")}
    top = {"get_num_threads", "num_threads", "set_num_threads", "show_config", "__version__"}
    allowed = below | top if own in {"cli", "bench"} else below
    assert used <= allowed, f"{own} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", [p for p in PYTHON_FILES if module_of(p) in CORE], ids=relative)
def test_the_core_imports_numpy_safetensors_and_platformdirs_alone(path: Path) -> None:
    import sys

    others = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
    assert others <= CORE_MAY_IMPORT | {"byhand"}


@pytest.mark.parametrize(
    "name", ["nn", "losses", "optim", "engine", "module", "parameters", "averages"]
)
def test_layers_never_compute_with_numpy(name: str) -> None:
    """Arrays may one day lie on a device: everything but shapes, views and draws is a kernel."""
    harmless = {
        "ndarray",
        "bool_",
        "float32",
        "float64",
        "int32",
        "int64",
        "uint8",
        "integer",
        "asarray",
        "dtype",
        "random",
    }
    used = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text())):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "np"
        ):
            used.add(node.attr)
    assert used <= harmless, sorted(used - harmless)


def test_stems_of_operators_are_the_same_everywhere() -> None:
    stems = {p.stem for p in (CSRC / "ops").glob("*.h")}
    assert {"gemm", "linear", "conv2d", "pool2d", "activation"} <= stems
    for stem in stems:
        assert (CSRC / "cpu" / f"{stem}.cc").is_file()
        assert (CSRC / "bindings" / f"bind_{stem}.cc").is_file()
        assert (ROOT / "tests" / f"test_{stem}.py").is_file()
