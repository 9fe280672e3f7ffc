"""A torch module of one's own as a model: ``model.name = "package.module:Class"`` (docs/own-models.md).

Naming a module imports it, and importing runs it: an experiment file is as trustworthy as the code that it names.
Everything that can go wrong in such a class is found before any training starts and told in one line.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.models.channels_last import channels_last
from privateyes.tasks.gaze.models.kinds import INPUTS, LABELS, PICTURES, InputShapes, ModelKind
from privateyes.training.determinism import deterministic_torch
from privateyes.training.own_code import FAULTS, OwnSource

_GUIDE = "docs/own-models.md shows a class that works"
_TRIAL_SEED = 1


def find_own_kind(name: str) -> ModelKind:
    """Import a class and read what it declares.

    Raises:
        ConfigError: the module or the class cannot be had, or a declaration is none.
    """
    found = _import_class(name)
    inputs = _names(name, found, "inputs", ("image", "pose"), INPUTS)
    labels = _names(name, found, "labels", ("gaze",), LABELS)
    channels, side = (_number(name, found, key) for key in ("channels", "smallest_side"))
    if channels not in (1, 3):
        raise ConfigError(f"model {name}: channels = {channels}", "say 1 for grey pictures or 3 for RGB ones")
    if side < 1:
        raise ConfigError(f"model {name}: smallest_side = {side}", "say how many pixels a picture needs, at least 1")
    known = tuple(label for label in LABELS if label in labels)
    return ModelKind(found, "", None, side, inputs, channels, known)


def source_of_own_model(name: str) -> OwnSource:
    """Where a class of one's own is written; what is installed with torch or privateyes is no part of it.

    Raises:
        ConfigError: the module or the class cannot be had.
    """
    found = _import_class(name)
    modules = [name.partition(":")[0], *(base.__module__ for base in getattr(found, "__mro__", ()))]
    return OwnSource.of_modules(modules)


def build_own_model(name: str, kind: ModelKind, shapes: InputShapes, seed: int) -> nn.Module:
    """Construct the class with torch's generator seeded; the caller's generator is as before afterwards.

    Raises:
        ConfigError: the constructor fails.
    """
    with torch.random.fork_rng(devices=[]), _told(name, "cannot be constructed", "its constructor takes `shapes`"):
        torch.manual_seed(seed)
        return kind.construct(dict(shapes))


def try_out(name: str, kind: ModelKind, shapes: InputShapes, build: Callable[[], nn.Module]) -> None:
    """Run one small step of a model, forwards and backwards, so that its faults show before any training.

    Args:
        name: of the model, for messages.
        kind: what it declares.
        shapes: of its inputs.
        build: makes the model, always from the same seed.

    Raises:
        ConfigError: the model is not determined by its seed, keeps state beside its parameters, fails, does not return
            one finite (pitch, yaw) or (x, y) for each sample, or cannot be trained.
    """
    first, second = build(), build()
    _refuse_strange_parameters(name, first)
    before = _values(first)
    _refuse_difference(name, before, _values(second))
    batch = _trial_batch(kind, shapes, 3)
    with torch.random.fork_rng(devices=[]), deterministic_torch():
        torch.manual_seed(_TRIAL_SEED)
        with _told(name, "fails on a batch", f"its forward takes {', '.join(kind.inputs)}"):
            trained = first.train()(*batch)
            _refuse_output(name, trained, 3)
            _refuse_without_gradient(name, trained)
            trained.square().mean().backward()
        _refuse_state(name, before, _values(first))
        first.eval()
        with torch.no_grad(), _told(name, "fails on a batch in evaluation mode", _GUIDE):
            _refuse_output(name, first(*(tensor[:1] for tensor in batch)), 1)
            once, again = first(*batch), first(*batch)
    if not torch.equal(once, again):
        problem = f"model {name} predicts two things for the same batch in evaluation mode"
        raise ConfigError(problem, "draw random numbers in training mode only (self.training)")


def _import_class(name: str) -> Callable[[InputShapes], nn.Module]:
    module_name, _, class_name = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), class_name]):
        problem = f"model.name = {name!r} names no class"
        raise ConfigError(problem, 'write "package.module:Class", such as "my_package.my_module:MyNet"')
    module = _import(name, module_name)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)
        ]
        hint = f"it has {', '.join(classes)}" if classes else "it has no torch module at all"
        raise ConfigError(f"model {name}: {module_name} has no {class_name}", hint)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"model {name}: {class_name} is no torch module", "derive the class from torch.nn.Module")
    return found


def _import(name: str, module_name: str) -> ModuleType:
    try:
        with _told(name, f"{module_name} cannot be imported", _GUIDE):
            return importlib.import_module(module_name)
    except ConfigError as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is not None and (module_name == missing or module_name.startswith(f"{missing}.")):
            remedy = "install it, or run with PYTHONPATH=/its/folder"
            raise ConfigError(f"model {name}: there is no module {missing}", remedy) from error
        raise


def _names(name: str, found: object, key: str, default: tuple[str, ...], known: Sequence[str]) -> tuple[str, ...]:
    value = getattr(found, key, default)
    good = isinstance(value, tuple | list) and bool(value) and len(set(value)) == len(value)
    if not good or any(entry not in known for entry in value):
        problem = f"model {name}: {key} = {value!r}"
        raise ConfigError(problem, f"name each once, in the order that you want: a tuple of {', '.join(known)}")
    return tuple(value)


def _number(name: str, found: object, key: str) -> int:
    value = getattr(found, key, 1)
    if type(value) is not int:
        raise ConfigError(f"model {name}: {key} = {value!r}", "it should be a whole number")
    return value


@contextmanager
def _told(name: str, what: str, remedy: str) -> Iterator[None]:
    """Turn an error of somebody else's code into one line that says where it happened."""
    try:
        yield
    except ConfigError:
        raise
    except FAULTS as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        problem = f"model {name}: it {what} ({type(error).__name__}: {error}{where})"
        raise ConfigError(problem, f"{remedy}; {_GUIDE}" if remedy != _GUIDE else remedy) from error


def _values(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers, by name."""
    return {key: value.detach().clone() for key, value in [*model.named_parameters(), *model.named_buffers()]}


def _refuse_strange_parameters(name: str, model: nn.Module) -> None:
    for key, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            problem = f"model {name}: {key} has no size before the first batch"
            raise ConfigError(problem, "give lazy layers their sizes; the constructor is told the shapes of all inputs")
        if not parameter.dtype.is_floating_point:
            raise ConfigError(f"model {name}: {key} is {parameter.dtype}", "use parameters of type float32")
        if not parameter.isfinite().all():
            raise ConfigError(f"model {name}: {key} is not finite at the start", "initialise every parameter")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"model {name} has no parameter to train", "register its layers as attributes of the module")


def _refuse_difference(name: str, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    same = first.keys() == second.keys()
    different = [key for key, value in first.items() if not same or not torch.equal(value, second[key])]
    if not same or different:
        shown = different[0] if different else "its list of parameters"
        problem = f"model {name} is not determined by its seed: {shown} differs from one construction to the next"
        raise ConfigError(problem, "draw from torch's global generator only, not from numpy, random or the clock")


def _refuse_state(name: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    for key, value in before.items():
        if key not in after or not torch.equal(value, after[key]):
            problem = f"model {name}: {key} changes while the model runs, and only training may change a model"
            raise ConfigError(problem, "keep no state beside the parameters, such as running means: clients share none")


def _refuse_output(name: str, output: object, rows: int) -> None:
    expected = f"a float tensor of shape ({rows}, 2) for {rows} samples"
    if not isinstance(output, Tensor):
        raise ConfigError(
            f"model {name} returns {type(output).__name__} and not {expected}", "return the tensor itself"
        )
    if output.shape != (rows, 2) or not output.dtype.is_floating_point:
        problem = f"model {name} returns {output.dtype} of shape {tuple(output.shape)} and not {expected}"
        raise ConfigError(problem, "end with a layer of 2 outputs: (pitch, yaw), or (x, y)")
    if not output.isfinite().all():
        raise ConfigError(f"model {name} returns NaN or infinity before training", "look at its initial values")


def _refuse_without_gradient(name: str, output: Tensor) -> None:
    if not output.requires_grad:
        problem = f"model {name}: its output does not depend on a parameter that can be trained"
        raise ConfigError(problem, "remove torch.no_grad(), detach() and .data from forward")


def _trial_batch(kind: ModelKind, shapes: InputShapes, rows: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(_TRIAL_SEED)
    drawn = {key: torch.rand((rows, *shapes[key]), generator=generator) for key in kind.inputs}
    # Pictures lie in memory as those of data do: what `view` refuses shows here, too.
    centred = {key: channels_last(value) if key in PICTURES else value - 0.5 for key, value in drawn.items()}
    if "grid" in centred:
        centred["grid"] = drawn["grid"].round()
    return tuple(centred[key] for key in kind.inputs)
