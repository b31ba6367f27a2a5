"""Redaction: no secret is left, nothing else is touched, and true values come back only where they are given anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import ConfigError, NotRecordableError, RedactedError
from midstream.events.codec import encode, encode_plain
from midstream.events.ids import Address
from midstream.events.payloads import NoteAdded
from midstream.events.redaction import (
    MARKED,
    Redaction,
    as_recorded,
    redaction_of,
    restored,
    stands_for,
)

WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def word(least: int, most: int | None = None, letters: str = WORD) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=least, max_size=most or least)


def made(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    given = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*given).map("".join)


SECRETS: dict[str, st.SearchStrategy[str]] = {
    "anthropic-key": made("sk-ant-api03-", word(40, 60)),
    "openrouter-key": made("sk-or-v1-", word(64, letters="0123456789abcdef")),
    "openai-key": made("sk-proj-", word(40, 80)),
    "google-key": made("AIza", word(35)),
    "aws-key": made("AKIA", word(16, letters="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")),
    "github-token": made("ghp_", word(36)),
    "gitlab-token": made("glpat-", word(20, 30)),
    "slack-token": made("xoxb-", word(20, 40)),
    "stripe-key": made("sk_live_", word(24, 40)),
    "huggingface-token": made("hf_", word(34)),
    "groq-key": made("gsk_", word(50)),
    "xai-key": made("xai-", word(60)),
    "jwt": made("eyJ", word(20), ".eyJ", word(30), ".", word(40)),
    "private-key": made(
        "-----BEGIN RSA PRIVATE KEY-----\n", word(64), "\n-----END RSA PRIVATE KEY-----"
    ),
}


@st.composite
def planted(draw: st.DrawFn) -> tuple[Any, str, str]:
    """Some JSON with a secret somewhere in it, the secret, and its kind."""
    kind = draw(st.sampled_from(sorted(SECRETS)))
    secret = draw(SECRETS[kind])
    before = draw(
        st.sampled_from(["", "key=", 'say "', "it is ", "\n", "(", "é: ", "x" * 5000 + " "])
    )
    after = draw(st.sampled_from(["", ".", '"', "\nand", ") then", ", ü"]))
    value: Any = before + secret + after
    if draw(st.booleans()) and kind != "private-key":
        value = json.dumps({"q": value})
    for shape in draw(st.lists(st.sampled_from("lodk"), max_size=3)):
        match shape:
            case "l":
                value = [1, value, None]
            case "o":
                value = {"other": "harmless", "it": value}
            case "d":
                value = [{"a": [value]}]
            case _ if isinstance(value, str):
                value = {value: 1}
            case _:
                pass
    return value, secret, kind


@given(planted())
def test_no_planted_secret_is_left_in_what_is_encoded(case: tuple[Any, str, str]) -> None:
    value, secret, kind = case
    fact = NoteAdded(id="n", data=value)
    for draft in (
        encode(fact, at=1, redact=Redaction()),
        encode_plain("note.added", {"id": "n", "data": value}, at=1, redact=Redaction()),
    ):
        whole = draft.body + b"".join(body for _, body in draft.blobs)
        core = secret.split("\n")[1] if "\n" in secret else secret
        assert core.encode() not in whole
        assert f"{MARKED}{kind}]".encode() in whole
        assert core not in json.dumps(draft.data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
    )
)
def test_what_holds_no_secret_is_left_as_it_is(value: Any) -> None:
    assert Redaction()(value) is value


@pytest.mark.parametrize(
    "text",
    [
        "the task-management-system-of-the-year-2026",
        "sk-learn is short",
        "see https://example.com/a:b/c@2",
        "bearer of good news and internationalization",
        "AKIA is a prefix", "eyJhbGciOiJIUzI1NiJ9",
        "a hash: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "base64: c2stYW50LWFwaTAzLXNrLWFudC1hcGkwMy1zay1hbnQ=",
        '{"token_count": "1234567", "keyboard": "qwerty"}',
    ],
)  # fmt: skip
def test_what_only_looks_a_little_like_one_stays(text: str) -> None:
    assert Redaction().text(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Authorization: Bearer abcdef0123456789xyz", "Authorization: Bearer [redacted:bearer-token]"),
        ("postgres://me:hunter2@db/x", "postgres://[redacted:url-password]@db/x"),
        ('{"api_key": "hunter22"}', '{"api_key": "[redacted:field]"}'),
        ('{\\"password\\": \\"hunter22\\"}', '{\\"password\\": \\"[redacted:field]\\"}'),
        ("-----BEGIN PRIVATE KEY-----\nMIIcut off", "[redacted:private-key]"),
    ],
)  # fmt: skip
def test_what_is_redacted_leaves_the_rest(text: str, wanted: str) -> None:
    assert Redaction().text(text) == wanted
    assert Redaction().text(wanted) == wanted


def test_fields_of_known_names_are_redacted_whatever_they_hold() -> None:
    value = {
        "headers": {"Authorization": "x y", "X-Api-Key": "short", "Accept": "any"},
        "password": 7,
    }
    assert Redaction()(value) == {
        "headers": {
            "Authorization": "[redacted:authorization]",
            "X-Api-Key": "[redacted:x-api-key]",
            "Accept": "any",
        },
        "password": 7,
    }
    assert Redaction(vendors=False)(value) is value


def test_what_a_provider_signed_goes_back_as_it_came() -> None:
    value = {"signature": "sk-ant-" + "a" * 40, "encrypted_content": "AKIA" + "A" * 16}
    assert Redaction()(value) is value


def test_own_patterns_values_and_hooks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    redact = Redaction(
        patterns={"employee": r"\bE\d{6}\b", "pin": r"pin (?P<secret>\d{4})"},
        values=["correct horse", "short"],
        hook=lambda text: text.replace("Ann", "[redacted:person]"),
    )
    told = redact.text("Ann (E123456) said correct horse, pin 1234, a short one")
    assert told == (
        "[redacted:person] ([redacted:employee]) said [redacted:secret], pin [redacted:pin], a short one"
    )
    monkeypatch.setenv("SHOP_API_KEY", "plain-looking-value")
    assert "plain-looking" not in Redaction.from_env().text("x plain-looking-value y")
    for wrong in ({"Bad Kind": "x"}, {"x": "("}):
        with pytest.raises(ConfigError, match=r"kind|regular"):
            Redaction(patterns=wrong)


def test_options_mean_what_they_say() -> None:
    own = Redaction()
    assert redaction_of(own) is own
    assert redaction_of(None) is None
    assert redaction_of(False) is None
    hook = redaction_of(lambda text: text.upper())
    assert hook is not None
    assert hook.text("a " + "AKIA" + "A" * 16) == "A [REDACTED:AWS-KEY]"
    assert redaction_of(True) is not None


def test_a_name_that_holds_a_secret_is_refused() -> None:
    key = "ghp_" + "a" * 36
    options: list[dict[str, Any]] = [
        {"address": Address(f"fetch#1[{key}]")},
        {"actor": f"user:{key}"},
    ]
    for more in options:
        with pytest.raises(NotRecordableError, match="github-token") as refused:
            encode(NoteAdded(id="n", data=1), at=1, redact=Redaction(), **more)
        assert key not in str(refused.value)


@given(planted())
def test_true_values_come_back_where_they_are_given_anew(case: tuple[Any, str, str]) -> None:
    value, _, _ = case
    recorded = Redaction()(value)
    assert as_recorded(recorded, value) == recorded or "{" in str(value)
    if MARKED in "".join(_keys(recorded)):
        with pytest.raises(RedactedError):
            restored(recorded, value, "x")
        return
    assert restored(recorded, value, "x") == value
    unknowns: list[Any] = [recorded, None, {}, []]
    for unknown in unknowns:
        with pytest.raises(RedactedError, match="redacted"):
            restored(recorded, unknown, "x")


def _keys(value: Any) -> list[str]:
    match value:
        case dict():
            items = cast("dict[str, Any]", value)
            return [*items, *(key for item in items.values() for key in _keys(item))]
        case list():
            return [key for item in cast("Sequence[Any]", value) for key in _keys(item)]
        case _:
            return []


def test_a_mark_stands_for_something() -> None:
    assert stands_for("a [redacted:x] b", "a 1\n2 b")
    assert not stands_for("a [redacted:x] b", "a  b")
    assert not stands_for("a [redacted:x] b", "c 1 b")
    assert restored({"a": [1, "b"]}, None, "x") == {"a": [1, "b"]}
