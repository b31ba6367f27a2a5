"""What `midstream.slotted.dataclass` makes is what `dataclasses.dataclass` makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import typing
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import midstream
from midstream.slotted import dataclass

T = TypeVar("T")
Decorate = Callable[..., Any]

KINDS = st.sampled_from(("plain", "default", "factory", "hidden", "uncompared", "keyword", "made"))
LABELS = st.tuples(st.booleans(), st.booleans())
VALUES = st.one_of(st.integers(0, 2), st.text(max_size=2))


def made(decorate: Decorate, kinds: list[str], *, frozen: bool, eq: bool) -> Any:
    """Return a class with one field of each kind; those without a default come first."""
    specified: dict[str, Callable[[], Any]] = {
        "default": lambda: 7,
        "factory": lambda: field(default_factory=lambda: [1]),
        "hidden": lambda: field(default=8, repr=False),
        "uncompared": lambda: field(default=9, compare=False),
        "keyword": lambda: field(kw_only=True),
        "made": lambda: field(init=False, default_factory=lambda: {"a": 1}),
    }
    named = {f"{kind}{n}": kind for n, kind in enumerate(sorted(kinds, key="plain".__ne__))}
    body = {name: specified[kind]() for name, kind in named.items() if kind in specified}
    annotations = dict.fromkeys(named, int)
    cls = type("Made", (), {**body, "__annotations__": annotations, "__doc__": "A."})
    return decorate(frozen=frozen, eq=eq, slots=True)(cls)


def outcome(act: Callable[[Any], Any], one: Any) -> Any:
    try:
        return act(one)
    except (TypeError, FrozenInstanceError, AttributeError) as error:
        return type(error), re.sub(r"0x\w+", "", str(error))


def acts(taken: list[str], *, eq: bool) -> list[Callable[[Any], Any]]:
    """Return what somebody may do with an object that takes these arguments."""
    return [
        lambda each: dataclasses.astuple(each),
        lambda each: dataclasses.asdict(each),
        lambda each: repr(dataclasses.replace(each, **dict.fromkeys(taken[:1], 3))),
        lambda each: hash(each) if eq else None,
        lambda each: [each.__setattr__(name, 5) for name in taken[:1]],
        lambda each: [each.__delattr__(name) for name in taken[:1]],
        lambda each: type(each)(*range(9)),
        lambda each: type(each)(unknown=1),
        lambda each: repr(each),
    ]


@given(st.lists(KINDS, max_size=5), st.booleans(), st.booleans(), st.data())
def test_a_class_behaves_as_one_of_the_standard_library(
    kinds: list[str], frozen: bool, eq: bool, data: st.DataObject
) -> None:
    ours, theirs = (
        made(decorate, kinds, frozen=frozen, eq=eq)
        for decorate in (dataclass, dataclasses.dataclass)
    )
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__init__.__annotations__ == theirs.__init__.__annotations__
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__slots__ == theirs.__slots__
    assert repr(ours.__dataclass_params__) == repr(theirs.__dataclass_params__)
    assert [f.name for f in dataclasses.fields(ours)] == [
        f.name for f in dataclasses.fields(theirs)
    ]

    taken = list(inspect.signature(theirs).parameters)
    some = data.draw(
        st.lists(st.fixed_dictionaries(dict.fromkeys(taken, VALUES)), min_size=2, max_size=2)
    )
    one, other = ([cls(**given) for given in some] for cls in (ours, theirs))
    assert repr(one) == repr(other)
    assert (one[0] == one[1]) == (other[0] == other[1])
    assert one[0] == one[0]
    assert (one[0] == copy.copy(one[0])) == (other[0] == copy.copy(other[0]))
    assert one[0] != other[0]
    assert one[0].__eq__(1) is NotImplemented
    for act in acts(taken, eq=eq):
        assert str(outcome(act, one[0])) == str(outcome(act, other[0]))


@dataclass(frozen=True, slots=True)
class Base(Generic[T]):
    """A frozen one."""

    first: T
    second: list[int] = field(default_factory=list[int])

    @property
    def doubled(self) -> list[int]:
        return self.second * 2


@dataclass(frozen=True, slots=True)
class Derived(Base[str]):
    """Inherits from a frozen one."""

    third: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "third", self.third + 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs(Base[str]):
    """A user's, made by the standard library."""

    fourth: int = 4


@dataclass(slots=True)
class Node:
    """Refers to itself."""

    name: str
    next: Node | None = None


@dataclass(slots=True, eq=False)
class Same:
    """Is equal to itself alone."""

    name: str


@dataclass(frozen=True, slots=True)
class Own:
    """Has methods of its own."""

    name: str

    def __repr__(self) -> str:
        return "mine"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 5


def test_what_inherits_has_the_fields_of_both_and_is_as_frozen() -> None:
    one = Derived("a")
    assert (one.first, one.second, one.third, one.doubled) == ("a", [], 4, [])
    assert repr(one) == "Derived(first='a', second=[], third=4)"
    with pytest.raises(FrozenInstanceError):
        one.first = "b"  # type: ignore[misc]  # that is what is tested
    assert Theirs("a", fourth=5).fourth == 5
    with pytest.raises(FrozenInstanceError):
        Theirs("a").fourth = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        setattr(one, "unknown", 1)  # noqa: B010  # no checker lets it pass otherwise
    with pytest.raises(TypeError, match="non-frozen"):
        dataclasses.dataclass()(type("Loose", (Base,), {"__annotations__": {}, "__doc__": "."}))


@pytest.mark.parametrize("one", [Derived("a", [1]), Base(1, [2]), Node("a", Node("b"))])
def test_it_is_copied_and_pickled(one: Any) -> None:
    for made_anew in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert made_anew == one
        assert made_anew is not one


def test_one_that_holds_itself_can_be_shown() -> None:
    one = Node("a")
    one.next = one
    assert repr(one) == "Node(name='a', next=...)"


def test_methods_of_the_class_stay_as_they_are() -> None:
    assert (repr(Own("a")), Own("a") == Own("b"), hash(Own("a"))) == ("mine", True, 5)
    assert Same("a") != Same("a")
    assert len({Same("a"), Same("a")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Node("a"))


def test_two_are_equal_as_the_tuples_of_their_fields_are() -> None:
    # The standard library says so up to Python 3.12, and compares one field after the other from 3.13 on.
    nothing = float("nan")
    assert Base(nothing) == Base(nothing)
    assert Base(nothing) != Base(float("nan"))


def test_types_are_told_and_patterns_match() -> None:
    assert get_type_hints(Node.__init__)["next"] == Node | None
    assert typing.get_type_hints(Derived)["third"] is int
    match Derived("a", [1]):
        case Derived(first, [int(second)], third):
            assert (first, second, third) == ("a", 1, 4)
        case _:
            pytest.fail("it matches")


def test_it_makes_no_class_without_slots() -> None:
    with pytest.raises(TypeError, match=r"take dataclasses\.dataclass"):
        dataclass(frozen=True)(Same)


def test_each_use_says_that_there_are_slots_and_nothing_that_is_not_known() -> None:
    for path in Path(midstream.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if "from midstream.slotted import dataclass" in text:
            for options in re.findall(r"^ *@dataclass\b(?:\(([^)]*)\))?", text, re.MULTILINE):
                found = {one.strip() for one in options.split(",") if one.strip()}
                assert "slots=True" in found, path
                assert found <= {"slots=True", "frozen=True", "eq=False"}, path
