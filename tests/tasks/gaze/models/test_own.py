from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from privateyes.errors import ConfigError, UsageError
from privateyes.tasks.gaze.models import build_model, find_kind, require_fit, try_out
from privateyes.tasks.gaze.models.kinds import Offer
from privateyes.tasks.gaze.task import GazeTask

GOOD = """
import torch
from torch import nn

class Net(nn.Module):
    inputs = ("image", "pose")
    def __init__(self, shapes):
        super().__init__()
        channels, height, width = shapes["image"]
        self.layer = nn.Linear(channels * height * width + 2, 2)
    def forward(self, image, pose):
        return self.layer(torch.cat([image.flatten(1), pose], dim=1))
"""
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Puts source code into an importable module of its own; gives the name of its class Net."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def into_module(source: str) -> str:
        module = f"own_net_{tmp_path.name.replace('-', '_')}_{len(made)}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        made.append(module)
        return f"{module}:Net"

    yield into_module
    for module in made:
        sys.modules.pop(module, None)


def with_line(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def tried(name: str) -> None:
    GazeTask(path=Path("none.h5"), model=name, image_shape=(9, 15)).first_model(3)


def test_a_class_of_ones_own_is_built_from_a_seed(write: Write) -> None:
    name = write(GOOD)
    first, again, other = (build_model(name, (9, 15), seed) for seed in (1, 1, 2))
    assert torch.equal(first.layer.weight, again.layer.weight)
    assert not torch.equal(first.layer.weight, other.layer.weight)
    assert first(torch.rand(4, 1, 9, 15), torch.rand(4, 2)).shape == (4, 2)
    tried(name)


def test_building_and_trying_out_leave_the_global_generator_alone(write: Write) -> None:
    name = write(GOOD)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    tried(name)
    assert torch.equal(torch.get_rng_state(), before)


def test_declarations_are_read_and_have_defaults(write: Write) -> None:
    plain = find_kind(write(with_line('    inputs = ("image", "pose")\n', "")))
    assert (plain.inputs, plain.labels, plain.channels, plain.smallest_side) == (("image", "pose"), ("gaze",), 1, 1)
    declared = 'inputs = ["left", "grid"]\n    labels = ("point", "gaze")\n    channels = 3\n    smallest_side = 20'
    kind = find_kind(write(with_line('inputs = ("image", "pose")', declared)))
    assert (kind.inputs, kind.channels, kind.smallest_side) == (("left", "grid"), 3, 20)
    assert set(kind.labels) == {"gaze", "point"}
    assert kind.shapes((50, 50), (30, 40)) == {"left": (3, 30, 40), "grid": (25, 25)}


def test_the_data_must_fit_it_as_they_must_fit_any_model(write: Write) -> None:
    name = write(GOOD)
    with pytest.raises(
        ConfigError, match="needs pose, and person p has none; add pose to the data or choose resnet_14"
    ):
        require_fit(name, Offer((32, 32), None, {"pose": "person p has none", "left": "", "grid": ""}, "gaze"))


NAMES = {
    "no_such_package.inner:Net": "there is no module no_such_package; install it, or run with PYTHONPATH=/its/folder",
    "json.no_such_inner:Net": r"there is no module json\.no_such_inner; install it",
    "json:": 'names no class; write "package.module:Class"',
    ":Net": "names no class",
    "a b:Net": "names no class",
    "json:Net:Other": "names no class",
    "json:JSONDecoder": "JSONDecoder is no torch module; derive the class from torch.nn.Module",
    "json:Missing": "json has no Missing; it has no torch module at all",
}


@pytest.mark.parametrize(("name", "message"), NAMES.items())
def test_a_name_that_leads_to_no_class_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_kind(name)


def test_the_classes_that_are_there_are_named(write: Write) -> None:
    module = write(GOOD).partition(":")[0]
    with pytest.raises(ConfigError, match=r"has no Network; it has Net$"):
        find_kind(f"{module}:Network")


IMPORTS = {
    "raise RuntimeError('on purpose')": r"cannot be imported \(RuntimeError: on purpose at .*own_net.*:1\)",
    "import no_such_dependency": "cannot be imported .*no_such_dependency",
    "def broken(:": "cannot be imported .*SyntaxError",
}


@pytest.mark.parametrize(("source", "message"), IMPORTS.items())
def test_a_module_that_cannot_be_imported_is_told_with_the_place(write: Write, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_kind(write(source))


DECLARATIONS = {
    'inputs = ("image", "posture")': "name each once, in the order that you want: a tuple of image, pose, left",
    'inputs = ("image", "image")': "name each once",
    "inputs = ()": "name each once",
    'inputs = "image"': "name each once",
    "inputs = (1,)": "name each once",
    'labels = ("angle",)': "a tuple of gaze, point",
    "channels = 2": "say 1 for grey pictures or 3 for RGB ones",
    "channels = True": "it should be a whole number",
    "smallest_side = 0": "at least 1",
    'smallest_side = "8"': "it should be a whole number",
}


@pytest.mark.parametrize(("line", "message"), DECLARATIONS.items())
def test_an_impossible_declaration_is_refused(write: Write, line: str, message: str) -> None:
    name = write(with_line('inputs = ("image", "pose")', line))
    with pytest.raises(ConfigError, match=message):
        find_kind(name)


MISTAKES = {
    "a constructor without shapes": ("def __init__(self, shapes):", "def __init__(self):",
        r"cannot be constructed \(TypeError.*its constructor takes `shapes`"),
    "a constructor that fails": ("super().__init__()", "super().__init__(); 1 / 0",
        r"cannot be constructed \(ZeroDivision"),
    "a forward of other arguments": ("def forward(self, image, pose):", "def forward(self, image):",
        "fails on a batch .*its forward takes image, pose"),
    "a layer of another size": ("* width + 2, 2)", "* width + 3, 2)", r"fails on a batch \(RuntimeError"),
    "three outputs": ("width + 2, 2)", "width + 2, 3)", r"returns torch.float32 of shape \(3, 3\) and not"),
    "one output for the batch": ("dim=1))", "dim=1)).mean(dim=0)",
        r"of shape \(2,\) and not a float tensor of shape \(3, 2\)"),
    "a tuple": ("return self.layer(", "return 1, self.layer(", "returns tuple and not"),
    "whole numbers": ("dim=1))", "dim=1)).long()", "returns torch.int64"),
    "no gradient": ("dim=1))", "dim=1)).detach()", "does not depend on a parameter that can be trained"),
    "no parameter": ("self.layer =", "self.layer = (lambda x: x[:, :2]); _ =", "has no parameter to train"),
    "not a number": ("dim=1))", "dim=1)) * float('nan')", "returns NaN or infinity before training"),
    "an unset parameter": ("+ 2, 2)\n", "+ 2, 2)\n        nn.init.constant_(self.layer.bias, float('inf'))\n",
        "layer.bias is not finite"),
    "a lazy layer": ("nn.Linear(channels * height * width + 2, 2)", "nn.LazyLinear(2)",
        "layer.weight has no size before"),
    "chance in evaluation": ("dim=1))", "dim=1)) + torch.rand(1)", "predicts two things for the same batch"),
    "numpy's generator": ("+ 2, 2)\n",
        "+ 2, 2)\n        import numpy\n        self.layer.bias.data.fill_(numpy.random.rand())\n",
        "not determined by its seed: layer.bias differs"),
    "a running mean": ("return self", "self.mean += 1; return self", "mean changes while the model runs"),
    "a parameter that moves": ("return self", "self.layer.bias.data += 1; return self", "layer.bias changes while"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_shows_before_any_training(write: Write, old: str, new: str, message: str) -> None:
    source = with_line(old, new)
    if "self.mean" in source:
        source = source.replace(
            "super().__init__()", "super().__init__(); self.register_buffer('mean', torch.zeros(1))"
        )
    with pytest.raises(ConfigError, match=message):
        tried(write(source))


def test_batch_normalisation_is_refused_with_what_to_use(write: Write) -> None:
    source = with_line("self.layer =", "self.norm = nn.BatchNorm1d(3); self.layer =")
    with pytest.raises(UsageError, match=r"module norm \(BatchNorm1d\) keeps running statistics.*nn.GroupNorm"):
        tried(write(source))


def test_it_is_tried_out_under_the_rules_of_training(write: Write) -> None:
    guard = "assert torch.are_deterministic_algorithms_enabled(), 'not checked'; return self"
    tried(write(with_line("return self", guard)))


def test_a_buffer_that_never_changes_and_dropout_are_welcome(write: Write) -> None:
    source = with_line("super().__init__()", "super().__init__(); self.register_buffer('grid', torch.arange(3.0))")
    tried(write(source.replace("return self", "image = nn.functional.dropout(image, 0.5, self.training); return self")))


def test_view_on_pictures_in_colour_fails_before_training_and_not_in_it(write: Write) -> None:
    source = with_line("image.flatten(1)", "image.view(len(image), -1)")
    tried(write(source))  # grey: nothing to complain about
    colour = write(source.replace("inputs =", "channels = 3; inputs ="))
    with pytest.raises(ConfigError, match=r"fails on a batch \(RuntimeError: view size is not compatible"):
        tried(colour)


def test_all_inputs_arrive_in_the_declared_order_and_shape(write: Write) -> None:
    name = write("""
import torch
from torch import nn

class Net(nn.Module):
    inputs = ("grid", "right", "pose", "left", "image")
    labels = ("point",)
    channels = 3
    def __init__(self, shapes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
    def forward(self, grid, right, pose, left, image):
        rows = len(grid)
        assert grid.shape == (rows, 25, 25) and set(grid.unique().tolist()) <= {0.0, 1.0}
        assert right.shape == left.shape == (rows, 3, 8, 9) and image.shape == (rows, 3, 16, 17)
        assert pose.shape == (rows, 2) and 0 <= image.min() and image.max() <= 1
        return pose * self.scale
""")
    kind = find_kind(name)
    shapes = kind.shapes((16, 17), (8, 9))
    try_out(name, kind, shapes, lambda: build_model(name, (16, 17), 0, (8, 9)))


def test_the_example_is_a_model_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[4] / "examples")
    GazeTask(path=Path("none.h5"), model="own_model:PoseTurnedNet", image_shape=(36, 60)).first_model(1)
    sys.modules.pop("own_model", None)
