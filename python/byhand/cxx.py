"""Find the C++ compiler of this machine."""

from __future__ import annotations

import os
import shlex
import shutil


def cxx_command() -> list[str] | None:
    """Return the command of the C++ compiler: the environment variable CXX, g++ or clang++.

    Returns
    -------
    list of str or None
        The words of the command. CXX may have several words, such as "ccache g++". None if no
        compiler is installed.
    """
    commands = (shlex.split(name) for name in (os.environ.get("CXX", ""), "g++", "clang++"))
    return next((command for command in commands if command and shutil.which(command[0])), None)
