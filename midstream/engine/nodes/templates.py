"""Templates: Jinja2 in a sandbox, strict about names, with no chance and no clock, so that a replay renders the same.

A template that is exactly one expression gives the expression's value; any other gives text, in which whatever is no text
itself stands as JSON. Jinja2 is imported when the first template is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, Signature
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import orjson

from midstream.adapters.wire import is_object
from midstream.errors import GraphError, TemplateError

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

ITEM = "item"
"""The name of an item in the templates of a map."""

_FILE = "<template>"  # under this name Jinja2 compiles what comes from no file
_BY_CHANCE = ("random",)
_FROM_FILES = ("Include", "Import", "FromImport", "Extends")
_SOFT = ("defined", "undefined")
_SHOWN = 12
_NEEDED = Parameter.empty


@cache
def _environment() -> SandboxedEnvironment:
    """Return what templates are read and rendered in; made once, when somebody first needs it."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Missing(StrictUndefined):
        """What stands for a name that is not there; using it in any way is an error."""

        @property
        def _undefined_message(self) -> str:  # Jinja2 asks here for what it is going to say
            known: Any = self._undefined_obj
            if is_object(known):
                names = ", ".join(repr(name) for name in [*known][:_SHOWN]) or "nothing"
                return f"there is no {self._undefined_name!r} in an object that has {names}"
            return super()._undefined_message

    class Sandbox(ImmutableSandboxedEnvironment):
        """Values are JSON: `order.items` is the item of that name, not a method of a dict."""

        def getattr(self, obj: Any, attribute: str) -> Any:
            if isinstance(obj, Mapping):
                return self.getitem(obj, attribute)
            return super().getattr(obj, attribute)

    made = Sandbox(undefined=Missing, finalize=_said, keep_trailing_newline=False)
    del made.globals["lipsum"]  # words by chance
    for name in _BY_CHANCE:
        del made.filters[name]
    return made


def _said(value: Any) -> Any:
    """Return how a value stands in a text."""
    from jinja2 import Undefined

    if isinstance(value, str | Undefined):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # something of Jinja2's own, such as a loop
        return str(value)


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A text with expressions.

    Attributes:
        source: As it was written.
        where: Whose it is, for errors, as in `node 'plan': prompt`.
        names: The nodes and inputs that it speaks of, in order of their names.
        optional: Those of them that it can do without: somewhere it asks whether they are there.
        single: It is exactly one expression, and gives a value.
    """

    source: str
    where: str
    names: tuple[str, ...] = field(init=False)
    optional: frozenset[str] = field(init=False)
    single: bool = field(init=False)
    _made: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from jinja2 import TemplateAssertionError, TemplateSyntaxError, meta
        from jinja2.environment import TemplateExpression

        env = _environment()
        try:
            tree = env.parse(self.source)
            self._refuse_files(tree)
            expression = _only_expression(tree)
            names = meta.find_undeclared_variables(tree)
            if expression is None:
                made: Any = env.from_string(self.source)
            else:
                made = TemplateExpression(env.from_string(_assigned(expression)), False)
        except TemplateAssertionError as error:
            raise GraphError(
                f"{self.where}, line {error.lineno}: {error.message}; filters and tests are those of Jinja2, but for "
                f"{', '.join(_BY_CHANCE)}, which a replay could not repeat"
            ) from error
        except TemplateSyntaxError as error:
            raise GraphError(
                f"{self.where}, line {error.lineno}: {error.message}; text with braces of its own goes between "
                "{% raw %} and {% endraw %}"
            ) from error
        object.__setattr__(self, "names", tuple(sorted(names - env.globals.keys())))
        object.__setattr__(self, "optional", _optional(tree) & names)
        object.__setattr__(self, "single", expression is not None)
        object.__setattr__(self, "_made", made)

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the one expression, or the text.

        Args:
            values: By name; one that is needed and missing is an error.

        Raises:
            TemplateError: Something in it does not exist, is not allowed or cannot be computed.
        """
        from jinja2 import Undefined

        try:
            if not self.single:
                return self._made.render(values)
            found = self._made(values)
            if isinstance(found, Undefined):
                str(found)  # it says what is missing
        except Exception as error:  # an expression may raise whatever its operations do
            raise self._failed(error) from error
        return found

    def text(self, values: Mapping[str, Any]) -> str:
        """Return the text; a value that is none stands as JSON. See `value`."""
        found = self.value(values)
        return found if isinstance(found, str) else str(_said(found))

    def _failed(self, error: Exception) -> TemplateError:
        lines = self.source.splitlines()
        line = min(_line(error), len(lines))
        shown = lines[line - 1].strip()
        return TemplateError(
            f"{self.where}, line {line} ({shown:.80}): {type(error).__name__}: {error}; "
            "mend the template, or use `is defined` and `default(…)` for what may be missing",
            line=line,
        )

    def _refuse_files(self, tree: nodes.Template) -> None:
        from jinja2 import nodes as kinds

        for name in _FROM_FILES:
            found = next(tree.find_all(getattr(kinds, name)), None)
            if found is not None:
                raise GraphError(
                    f"{self.where}, line {found.lineno}: a template reads no other files; write it out here"
                )


def is_template(text: str) -> bool:
    """Say whether a text has anything for Jinja2 in it."""
    return any(mark in text for mark in ("{{", "{%", "{#"))


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    from jinja2 import nodes as kinds

    if len(tree.body) != 1 or not isinstance(tree.body[0], kinds.Output):
        return None
    parts = tree.body[0].nodes
    if len(parts) != 1 or isinstance(parts[0], kinds.TemplateData):
        return None
    return parts[0]


def _assigned(expression: nodes.Expr) -> nodes.Template:
    """Return a template that keeps the value of an expression, as Jinja2's own `compile_expression` does."""
    from jinja2 import nodes as kinds

    keep = kinds.Assign(kinds.Name("result", "store"), expression, lineno=expression.lineno)
    return kinds.Template([keep], lineno=1)


def _optional(tree: nodes.Template) -> frozenset[str]:
    """Return the names that the template asks about before it uses them."""
    from jinja2 import nodes as kinds

    asked = [
        one.node
        for one in tree.find_all((kinds.Filter, kinds.Test))
        if one.name in ("default", "d", *_SOFT)
    ]
    return frozenset(one.name for one in asked if isinstance(one, kinds.Name))


def _line(error: Exception) -> int:
    """Return the line of the template in which it happened: Jinja2 puts its lines into tracebacks."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        compiled = frame.f_globals.get("__jinja_template__")
        if compiled is not None:
            line = compiled.get_corresponding_lineno(trace.tb_lineno)
        elif frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class Expression:
    """A template that is one expression, as a function of the names in it: a condition, a list, a key.

    Args:
        source: The template.
        where: Whose it is, for errors.

    Raises:
        GraphError: It cannot be read, or gives text only.
    """

    def __init__(self, source: str, where: str) -> None:
        self._template = Template(source, where)
        if not self._template.single:
            raise GraphError(
                f"{where}: {source!r:.100} gives text; write one expression between {{{{ and }}}}"
            )
        self.__name__ = source
        self.__signature__ = signature_of((self._template,))

    def __call__(self, **values: Any) -> Any:
        """Return the value."""
        return self._template.value(values)


class ItemExpression(Expression):
    """A template of one name, `item`, as a function of it; see `Expression`."""

    def __init__(self, source: str, where: str) -> None:
        super().__init__(source, where)
        others = [name for name in self._template.names if name != ITEM]
        if others:
            raise GraphError(f"{where}: {others[0]!r} is not known here; there is {ITEM!r} only")

    def __call__(self, item: Any = None, **values: Any) -> Any:
        """Return the value."""
        return self._template.value({ITEM: item, **values})


def signature_of(templates: Iterable[Template], *before: str, first: str = "") -> Signature:
    """Return the parameters of a function that renders templates.

    Args:
        templates: Each name in them is a parameter; one that all of them can do without need not be given.
        *before: Parameters of its own.
        first: A name that is always a parameter, and the first one.

    Raises:
        GraphError: A template has a name that a parameter cannot have.
    """
    needed: dict[str, bool] = {first: True} if first else {}
    for template in templates:
        for name in template.names:
            if name in before or iskeyword(name):
                raise GraphError(
                    f"{template.where}: the name {name!r} has a meaning of its own; take the value under another one: "
                    f"take={{'other': {name!r}}}"
                )
            needed[name] = needed.get(name, False) or name not in template.optional
    names = ((name, _NEEDED if needed[name] else None) for name in needed)
    own = ((name, _NEEDED) for name in before)
    return Signature(
        [Parameter(name, Parameter.KEYWORD_ONLY, default=kind) for name, kind in (*names, *own)]
    )


def templates_in(value: Any, where: str) -> Any:
    """Return data with each text in it that has something for Jinja2 as a template."""
    match value:
        case str():
            return Template(value, where) if is_template(value) else value
        case Mapping():
            return {key: templates_in(one, f"{where}.{key}") for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case list() | tuple():
            return [templates_in(one, f"{where}[{place}]") for place, one in enumerate(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
        case _:
            return value


def found_in(value: Any) -> tuple[Template, ...]:
    """Return the templates in what `templates_in` made."""
    match value:
        case Template():
            return (value,)
        case dict():
            return tuple(one for inner in value.values() for one in found_in(inner))  # pyright: ignore[reportUnknownVariableType]  # JSON
        case list():
            return tuple(one for inner in value for one in found_in(inner))  # pyright: ignore[reportUnknownVariableType]  # JSON
        case _:
            return ()


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Return what `templates_in` made with the value of each template in its place.

    Raises:
        TemplateError: See `Template.value`.
    """
    match value:
        case Template():
            return value.value(values)
        case dict():
            return {key: filled(one, values) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]  # JSON
        case list():
            return [filled(one, values) for one in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
        case _:
            return value
