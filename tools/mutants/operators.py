"""What one node of a syntax tree may be changed to. Each change is small, and each is a mistake that people make."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
}  # fmt: skip
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What stays when nothing is left to do.
DELETABLE = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)


def _with(node: ast.AST, **changes: object) -> ast.AST:
    changed = copy.copy(node)
    for field, value in changes.items():
        setattr(changed, field, value)
    return changed


def _without(items: list[ast.expr], position: int) -> list[ast.expr]:
    return items[:position] + items[position + 1 :]


def _shifted(value: ast.expr) -> Iterator[ast.expr]:
    """``value`` + 1 and - 1, for what is no number; numbers have their own change."""
    number = value.operand if isinstance(value, ast.UnaryOp) else value
    if not isinstance(number, ast.Constant):
        yield ast.BinOp(value, ast.Add(), ast.Constant(1))
        yield ast.BinOp(value, ast.Sub(), ast.Constant(1))


def negated(test: ast.expr) -> ast.expr:
    """The opposite of a condition, as a person would write it where it is one comparison."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _with(test, ops=[COMPARISONS[type(test.ops[0])][-1]()])  # type: ignore[return-value]
    return ast.UnaryOp(ast.Not(), test)


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(value + 1)
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"\x01")


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for position, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            yield _with(node, ops=[*node.ops[:position], other(), *node.ops[position + 1 :]])


def _boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for position in range(len(node.values)):
        rest = _without(node.values, position)
        yield _with(node, values=rest) if len(rest) > 1 else rest[0]


def _call(node: ast.Call, variadic: Mapping[str, int]) -> Iterator[ast.AST]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if isinstance(node.func, ast.Name) and name in FUNCTIONS:
        yield _with(node, func=ast.Name(FUNCTIONS[name], ast.Load()))
    if name == "sorted":
        yield _with(node, func=ast.Name("list", ast.Load()), keywords=[])
    if name == "range":
        at = 0 if len(node.args) == 1 else 1
        for stop in _shifted(node.args[at]):
            yield _with(node, args=[*node.args[:at], stop, *node.args[at + 1 :]])
    if name in variadic:
        # A part left out of what is hashed or signed is no longer bound, and nothing else complains.
        for position in range(variadic[name], len(node.args)):
            yield _with(node, args=_without(node.args, position))


def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    for field in ("lower", "upper"):
        bound = getattr(node, field)
        if bound is not None:
            yield _with(node, **{field: None})
            for other in _shifted(bound):
                yield _with(node, **{field: other})
    if node.step is not None:
        yield _with(node, step=None)


def _defaults(node: ast.arguments) -> Iterator[ast.AST]:
    for field in ("defaults", "kw_defaults"):
        values = getattr(node, field)
        for position, value in enumerate(values):
            if value is None or (isinstance(value, ast.Constant) and value.value is not None):
                continue  # no default, or one that changes as constants do
            other = ast.Constant(0 if isinstance(value, ast.Constant) else None)
            yield _with(node, **{field: [*values[:position], other, *values[position + 1 :]]})


def expression_changes(node: ast.AST, variadic: Mapping[str, int]) -> Iterator[ast.AST]:
    """What can stand in the place of an expression, or of a part of one.

    Args:
        variadic: for functions that take any number of arguments, how many fixed ones come first.
    """
    match node:
        case ast.Constant():
            yield from _constant(node)
        case ast.Compare():
            yield from _compare(node)
        case ast.BoolOp():
            yield from _boolean(node)
        case ast.UnaryOp():
            yield node.operand
        case ast.BinOp():
            yield _with(node, op=ARITHMETIC[type(node.op)]()) if type(node.op) in ARITHMETIC else node
        case ast.IfExp():
            yield _with(node, test=negated(node.test))
        case ast.Call():
            yield from _call(node, variadic)
        case ast.Slice():
            yield from _slice(node)
        case ast.comprehension():
            for position, test in enumerate(node.ifs):
                yield _with(node, ifs=[*node.ifs[:position], negated(test), *node.ifs[position + 1 :]])
                yield _with(node, ifs=_without(node.ifs, position))
        case ast.arguments():
            yield from _defaults(node)
        case ast.match_case(guard=ast.expr() as guard):
            yield _with(node, guard=negated(guard))
            yield _with(node, guard=None)


def statement_changes(node: ast.AST) -> Iterator[ast.AST]:
    """What can stand in the place of a statement, or of an except clause."""
    if isinstance(node, DELETABLE):
        yield ast.Pass()
    match node:
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield ast.Pass()
        case ast.AnnAssign(target=ast.Attribute() | ast.Subscript()):
            yield ast.Pass()
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(node.op)]())
        case ast.Continue():
            yield ast.Break()
        case ast.If() | ast.While():
            yield _with(node, test=negated(node.test))
        case ast.ExceptHandler(type=ast.Tuple(elts=caught)):
            for position in range(len(caught)):
                yield _with(node, type=ast.Tuple(_without(caught, position), ast.Load()))
