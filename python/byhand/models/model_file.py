"""The file of a model: `load` reads what `Model.save` writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from byhand.files.tensors import CheckpointError, read_tensors
from byhand.models.architecture import build_all, check_keys
from byhand.models.model import Model
from byhand.nn import Module
from byhand.nn.parameter import Statistic, misfits, share_storage


def load(path: str | os.PathLike[str], *, layers: Iterable[type[Module]] = ()) -> Model:
    """Read a model that `Model.save` wrote.

    Loading takes no more memory than a few times the size of the file. It executes nothing that the
    file contains.

    Parameters
    ----------
    path : str or os.PathLike
        The path of the file.
    layers : iterable of type
        The classes of the user's own layers in the model.

    Returns
    -------
    Model
        The model, with its weights, in training mode.

    Raises
    ------
    OSError
        If the file cannot be read. It is a FileNotFoundError if there is no such file.
    CheckpointError
        If the file is damaged, was not written by `Model.save`, or has an unknown layer or version.
        The error names the path.
    """
    tensors, description = read_tensors(path)
    try:
        return _model(tensors, description, {kind.__name__: kind for kind in layers})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} does not describe a model: {error}") from error


def _model(
    tensors: Mapping[str, NDArray[Any]],
    description: dict[str, Any],
    own: Mapping[str, type[Module]],
) -> Model:
    keys = ("format", "layers", "input_shape", "preprocessing", "class_names")
    trained = description.pop("trained", None)
    if trained is not None and not isinstance(trained, dict):
        raise ValueError(f"trained must be an object, not {trained!r}")
    shared = description.pop("shared", {})
    check_keys("the description", description, keys)
    # In older files, the entry "pictures" is missing or has the value "mnist". Both mean "digits"
    # for images of one channel, and "plain" for others.
    preprocessing = description["preprocessing"]
    if isinstance(preprocessing, dict):
        preprocessing = {"pictures": "mnist", **preprocessing}
    check_keys("preprocessing", preprocessing, ("scale", "offset", "pictures"))
    is_older = preprocessing["pictures"] == "mnist"
    if is_older:
        preprocessing = {**preprocessing, "pictures": None}
    layers = build_all(description["layers"], own)
    shapes = {
        f"{i}.{name}": parameter.shape
        for i, layer in enumerate(layers)
        for name, parameter in layer.named_state()
    }
    problems = misfits(shapes, tensors)
    if problems:
        raise ValueError("; ".join(problems))
    model = Model(
        *layers,
        input_shape=description["input_shape"],
        class_names=description["class_names"],
        **preprocessing,
    )
    model.trained = trained
    if is_older:
        model.pictures = model.preparation()
    _share(model, shared)
    share_storage(model.parameters())
    share_storage([value for _, value in model.named_state() if isinstance(value, Statistic)])
    model.load_state_dict(tensors)
    return model


def _share(model: Model, shared: Any) -> None:
    """Make layers share the parameters that `shared_names` listed when the model was saved."""
    state = dict(model.named_state())
    if not isinstance(shared, dict) or not {*shared, *shared.values()} <= set(state):
        raise ValueError(f"shared must map names of parameters to names, not {shared!r}")
    for name, original in shared.items():
        if state[name].shape != state[original].shape:
            raise ValueError(
                f"{name} and {original} are listed as one parameter, but differ in shape"
            )
        owner: Module = model
        *path, attribute = name.split(".")
        for i in path:
            owner = owner.children[int(i)]
        setattr(owner, attribute, state[original])
