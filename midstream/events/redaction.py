"""Secrets stay out of the log: what is recorded of a text that holds one is a mark in its place.

What is redacted is redacted before it is folded, so a run that goes on in this process sees what a resumed one would see:
the mark. True values reach the functions that code hands them to, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from midstream.errors import ConfigError, NotRecordableError, RedactedError
from midstream.events.codec import SEALED
from midstream.events.envelope import Event

MARKED = "[redacted:"
"""How the mark begins that stands in a secret's place; it ends with its kind and a bracket."""

REDACTED = "redacted"
"""The kind of the failure of a call whose arguments were redacted, and are not given anew."""

_MARK = re.compile(r"\[redacted:[a-z0-9_-]+\]")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
# Not in the middle of a word, where the letter before it is not the end of an escape in a text that is JSON.
_LEFT = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
_SHORTEST = 8


class _Pattern(NamedTuple):
    """What a secret of one kind looks like, and texts of which one stands in each (in lower case)."""

    kind: str
    regex: re.Pattern[str]
    hints: tuple[str, ...]


_FIELDS = (
    "authorization|proxy-authorization|x-api-key|api[-_]?key|apikey|password|passwd|secret|client[-_]secret|"
    "access[-_]token|refresh[-_]token|auth[-_]token|private[-_]key|secret[-_]access[-_]key|cookie|set-cookie"
)
_FIELD = re.compile(_FIELDS, re.IGNORECASE)

VENDORS: Sequence[_Pattern] = (
    _Pattern("anthropic-key", re.compile(_LEFT + r"sk-ant-[A-Za-z0-9_-]{16,}"), ("sk-ant-",)),
    _Pattern("openrouter-key", re.compile(_LEFT + r"sk-or-[A-Za-z0-9_-]{16,}"), ("sk-or-",)),
    _Pattern("openai-key", re.compile(_LEFT + r"sk-[A-Za-z0-9_-]{20,}"), ("sk-",)),
    _Pattern("google-key", re.compile(_LEFT + r"AIza[A-Za-z0-9_-]{35}"), ("aiza",)),
    _Pattern(
        "aws-key", re.compile(_LEFT + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), ("akia", "asia")
    ),
    _Pattern(
        "github-token",
        re.compile(_LEFT + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    ),
    _Pattern("gitlab-token", re.compile(_LEFT + r"glpat-[A-Za-z0-9_-]{20,}"), ("glpat-",)),
    _Pattern("slack-token", re.compile(_LEFT + r"xox[abeoprs]-[A-Za-z0-9-]{10,}"), ("xox",)),
    _Pattern(
        "stripe-key",
        re.compile(_LEFT + r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("k_live_", "k_test_"),
    ),
    _Pattern("huggingface-token", re.compile(_LEFT + r"hf_[A-Za-z0-9]{30,}"), ("hf_",)),
    _Pattern("groq-key", re.compile(_LEFT + r"gsk_[A-Za-z0-9]{40,}"), ("gsk_",)),
    _Pattern("xai-key", re.compile(_LEFT + r"xai-[A-Za-z0-9]{40,}"), ("xai-",)),
    _Pattern(
        "jwt",
        re.compile(_LEFT + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        (".eyj",),
    ),
    _Pattern(
        "private-key",
        re.compile(
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\S]*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)"
        ),
        ("private key-----",),
    ),
    _Pattern(
        "bearer-token",
        re.compile(r"(?i:(?<=\bbearer ))(?=[^\s\"']*[0-9])[A-Za-z0-9._~+/=-]{16,}"),
        ("bearer ",),
    ),
    _Pattern("url-password", re.compile(r"(?<=://)[^/\s:@\"'\[]+:[^/\s@\"'\[]+(?=@)"), ("://",)),
    # JSON in a text, as in the arguments of a model's call of a tool.
    _Pattern(
        "field",
        re.compile(
            rf"(?i:\"(?:{_FIELDS})\\?\"\s*:\s*\\?\")(?P<secret>(?!\[redacted:)[^\"\\]{{4,}})"
        ),
        ("authorization", "key", "passw", "secret", "token", "cookie"),
    ),
)
"""What keys of known vendors look like, and what stands in fields of known names."""

_OPAQUE = frozenset(("signature", "encrypted_content", "thought_signature", "encrypted_index"))
"""Fields whose text is nobody's but a provider's: it goes back as it came."""


class Redaction:
    """Finds secrets in what is about to be recorded.

    Args:
        patterns: Regular expressions of your own by kind; what such a one matches is a secret, or its group `secret`.
        values: Secrets themselves, as this process knows them.
        hook: Is given each text after all that, and returns what is recorded of it.
        vendors: Look for keys of known vendors, bearer tokens, private keys, and fields with names such as `password`.

    Raises:
        ConfigError: A pattern or its kind is wrong.
    """

    def __init__(
        self,
        *,
        patterns: Mapping[str, str] | None = None,
        values: Iterable[str] = (),
        hook: Callable[[str], str] | None = None,
        vendors: bool = True,
    ) -> None:
        own = [_own(kind, text) for kind, text in (patterns or {}).items()]
        known = sorted({value for value in values if len(value) >= _SHORTEST}, key=len)[::-1]
        if known:
            regex = re.compile("|".join(map(re.escape, known)))
            own.insert(0, _Pattern("secret", regex, tuple(value.lower() for value in known)))
        self._patterns = (*own, *(VENDORS if vendors else ()))
        self._vendors = vendors
        self._hook = hook
        self.envelope = lru_cache(maxsize=4096)(self._envelope)

    @classmethod
    def from_env(cls, **options: Any) -> Redaction:
        """Return one that also knows the secrets in this process's environment: what ends with `KEY`, `TOKEN`, `SECRET` or `PASSWORD`."""
        ends = ("KEY", "TOKEN", "SECRET", "PASSWORD")
        values = [value for name, value in os.environ.items() if name.upper().endswith(ends)]
        return cls(values=[*options.pop("values", ()), *values], **options)

    def __call__(self, value: Any) -> Any:
        """Return plain JSON with marks in the place of secrets; the value itself where there are none."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return self._object(cast("dict[str, Any]", value))
            case list():
                items = cast("Sequence[Any]", value)
                made = [self(item) for item in items]
                return items if all(map(_same, made, items)) else made
            case _:
                return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        made = {self.text(name): self._field(name, item) for name, item in value.items()}
        if all(map(_same, made, value)) and all(map(_same, made.values(), value.values())):
            return value
        return made

    def _field(self, name: str, value: Any) -> Any:
        if name in _OPAQUE:
            return value
        named = self._vendors and isinstance(value, str) and value and _FIELD.fullmatch(name)
        if named and not _MARK.search(str(value)):
            return f"{MARKED}{name.lower()}]"
        return self(value)

    def text(self, text: str) -> str:
        """Return a text with marks in the place of secrets."""
        if len(text) >= _SHORTEST:
            low = text.lower()
            for kind, regex, hints in self._patterns:
                if not hints or any(hint in low for hint in hints):
                    text = _marked(kind, regex, text)
        return text if self._hook is None else self._hook(text)

    def _envelope(self, text: str) -> None:
        """Refuse a name that holds a secret: it is what things are found by, so it cannot be another one.

        Raises:
            NotRecordableError: It does.
        """
        if self.text(text) != text:
            kinds = ", ".join(_MARK.findall(self.text(text))) or "a secret"
            raise NotRecordableError(
                "the name of a step or an actor", f"it holds {kinds}", "use another key or name"
            )


def redaction_of(option: bool | Redaction | Callable[[str], str] | None) -> Redaction | None:
    """Return what an option says: True for all that is known of vendors, a function for that and itself, None for nothing."""
    if isinstance(option, Redaction):
        return option
    if callable(option):
        return Redaction(hook=option)
    return Redaction() if option else None


def _own(kind: str, text: str) -> _Pattern:
    if not _NAME.fullmatch(kind):
        raise ConfigError(
            f"kind {kind!r} of a pattern must be of small letters, digits, '-' and '_'"
        )
    try:
        return _Pattern(kind, re.compile(text), ())
    except re.error as error:
        raise ConfigError(f"pattern {kind!r} is no regular expression: {error}") from error


def _marked(kind: str, regex: re.Pattern[str], text: str) -> str:
    def mark(found: re.Match[str]) -> str:
        start, end = found.span("secret") if "secret" in regex.groupindex else found.span()
        if start == end:
            return found[0]
        before, after = found.string[found.start() : start], found.string[end : found.end()]
        return f"{before}{MARKED}{kind}]{after}"

    return regex.sub(mark, text)


def _same(made: Any, value: Any) -> bool:
    return made is value


def redaction_in(events: Iterable[Event]) -> Redaction | None:
    """Return the usual redaction where events hold marks, so that what is compared with them gets marks as well."""
    marked = any(
        MARKED in (str(event.data) if event.body.startswith(SEALED) else event.body.decode())
        for event in events
    )
    return Redaction() if marked else None


def stands_for(marked: str, text: str) -> bool:
    """Say whether a text is what was recorded with marks: the same but for what the marks stand for."""
    pieces = _MARK.split(marked)
    return re.fullmatch("(.+?)".join(map(re.escape, pieces)), text, re.DOTALL) is not None


def restored(recorded: Any, given: Any, place: str) -> Any:
    """Return what was recorded, with the true values of what was redacted, as they are given anew.

    Args:
        recorded: Plain JSON from the log.
        given: What it was made of, as far as that is known now.
        place: How an error names it.

    Raises:
        RedactedError: A true value is not known any more.
    """
    match recorded:
        case str() if MARKED in recorded and _MARK.search(recorded):
            if isinstance(given, str) and given != recorded and stands_for(recorded, given):
                return given
            raise _gone(place, recorded)
        case dict():
            items = cast("dict[str, Any]", recorded)
            known = cast("dict[str, Any]", given if isinstance(given, dict) else {})
            for name in items:
                if _MARK.search(name):
                    raise _gone(place, name)
            return {
                name: restored(item, known.get(name), f"{place}.{name}")
                for name, item in items.items()
            }
        case list():
            told = cast("Sequence[Any]", recorded)
            others = cast("Sequence[Any]", given if isinstance(given, list | tuple) else ())
            pairs = [(item, others[i] if i < len(others) else None) for i, item in enumerate(told)]
            return [restored(item, other, f"{place}[{i}]") for i, (item, other) in enumerate(pairs)]
        case _:
            return recorded


def _gone(place: str, marked: str) -> RedactedError:
    return RedactedError(
        f"{place} was redacted ({', '.join(_MARK.findall(marked))}): its true value is not in the log; "
        "have the tool fetch it by itself, or let the code of the node pass it",
        tool="",
        address="",
        kind=REDACTED,
    )


def as_recorded(recorded: Any, now: Any) -> Any:
    """Return a value of today with the marks of the recorded one, wherever it is the same but for these."""
    match recorded, now:
        case str(), str() if MARKED in recorded and stands_for(recorded, now):
            return recorded
        case dict(), dict():
            was, is_ = cast("dict[str, Any]", recorded), cast("dict[str, Any]", now)
            return {name: as_recorded(was.get(name), item) for name, item in is_.items()}
        case list(), list():
            old, new = cast("Sequence[Any]", recorded), cast("Sequence[Any]", now)
            if len(old) != len(new):
                return new
            return [as_recorded(one, other) for one, other in zip(old, new, strict=True)]
        case _:
            return now
