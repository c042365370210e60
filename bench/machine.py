"""Describes the machine and the versions with which figures are measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import byhand.runtime


def describe() -> dict[str, Any]:
    """Return a description for JSON. Its values are None if the system does not provide them."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "processors": os.cpu_count(),
        "usable_processors": byhand.runtime.config()["usable_cpus"],
        "caches": _caches(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "byhand": byhand.runtime.config(),
    }


def load_warning(load: float, processors: int) -> str:
    """Return a warning if the load before the first measurement was high, or else nothing."""
    if load <= processors / 2:
        return ""
    return (
        "The machine did other work before the first measurement: "
        f"load {load:.1f} on {processors} processors. The figures will not be reproducible."
    )


def memory_bytes() -> int:
    """Return the size of the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _cpu() -> str | None:
    found = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo") or "")
    return found[1] if found else platform.processor() or None


def _caches() -> list[str]:
    """Return one text such as "L1 Data 32K" for each cache of the first processor."""
    folders = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    fields = [[_read(folder / name) for name in ("level", "type", "size")] for folder in folders]
    return [f"L{level} {kind} {size}" for level, kind, size in fields]


def _commit() -> str | None:
    """Return the commit of the checkout of this file, with "-dirty" if a file has changed."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None
