"""Budgets: what a run, or all runs with a tag, may spend; checked before a call with an estimate, counted from the log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from midstream.engine.recording.calls import Desk
from midstream.engine.spending.spending import Amounts, Ledger
from midstream.errors import BudgetError, ConfigError
from midstream.events import payloads
from midstream.events.payloads import ModelSwitched, RunPaused

OnExceed = Literal["fail", "pause", "downgrade"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent; what is None is not limited.

    Attributes:
        name: By which it is recorded.
        tokens: Read and written, together.
        money: In US dollars, of calls whose price is known.
        model_calls: Attempts included.
        tool_calls: Attempts included.
        seconds: From the start of the run to the beginning of a call; only of a run.
        tag: Each value of this tag has the budget for itself, in all its runs together; empty: each run has it, together with
            the runs that are started in it.
        window: Only what was spent in the last so many seconds counts; None for all. Only with a tag.
        on_exceed: `fail` the node; `pause` the run, and each `run.resume()` grants the same once more; or `downgrade`: ask
            another model from then on, and let this budget be.
        downgrade_to: That model.
    """

    name: str
    tokens: int | None = None
    money: Decimal | float | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    seconds: float | None = None
    tag: str = ""
    window: float | None = None
    on_exceed: OnExceed = "fail"
    downgrade_to: str = ""

    def __post_init__(self) -> None:
        where = f"budget {self.name!r}"
        if self.on_exceed not in ("fail", "pause", "downgrade"):
            raise ConfigError(
                f"{where}: on_exceed must be 'fail', 'pause' or 'downgrade', not {self.on_exceed!r}"
            )
        if (self.on_exceed == "downgrade") is not bool(self.downgrade_to):
            raise ConfigError(f"{where}: on_exceed='downgrade' and downgrade_to= go together")
        if not self.limits and self.seconds is None:
            raise ConfigError(
                f"{where} limits nothing; pass tokens, money, model_calls, tool_calls or seconds"
            )
        if not self.tag and self.window is not None:
            raise ConfigError(f"{where}: a window is of a tag; pass tag=")
        if self.tag and self.seconds is not None:
            raise ConfigError(f"{where}: seconds are of a run; leave tag= away")

    @property
    def limits(self) -> dict[str, Decimal]:
        """What is counted and limited, but for time."""
        names = ("tokens", "money", "model_calls", "tool_calls")
        given = {name: getattr(self, name) for name in names}
        return {name: Decimal(str(limit)) for name, limit in given.items() if limit is not None}


class Guard:
    """Stands before the calls of one run.

    Args:
        ledger: Knows what was spent.
        budgets: What may be.
    """

    def __init__(self, ledger: Ledger, budgets: Sequence[Budget]) -> None:
        self._ledger = ledger
        self._budgets = tuple(budgets)

    async def passes(self, desk: Desk, wanted: dict[str, Amounts]) -> bool:
        """Say whether calls may be made; if not, something has changed, and is to be looked at anew.

        Args:
            desk: Of the activation that calls.
            wanted: By address, about what each call will spend.

        Raises:
            BudgetError: They may not, and the budget says that the run fails.
        """
        await desk.intent()  # what was recorded of this run can be counted
        run_id = desk.recorder.run_id
        total = Amounts()
        for amounts in wanted.values():
            total += amounts
        async with self._ledger.lock:
            for budget in self._budgets:
                found = await self._exceeded(desk, budget, total)
                if found is not None:
                    break
            else:
                for address, amounts in wanted.items():
                    self._ledger.reserve(run_id, address, amounts)
                return True
        await self._act(desk, budget, found)
        return False

    async def _exceeded(
        self, desk: Desk, budget: Budget, wanted: Amounts
    ) -> tuple[str, Decimal, Decimal, Decimal] | None:
        """Return what there is too little of, with the limit, what was spent and what is wanted; None for nothing."""
        own = await self._ledger.of_run(desk.recorder.run_id)
        actions = own.exceeded.get(budget.name, [])
        if "downgrade" in actions:
            return None
        granted = 1 + actions.count("pause")
        now = desk.clock.now()
        if budget.seconds is not None and now - own.began > budget.seconds * granted:
            spent = Decimal(str(round(now - own.began, 3)))
            return "seconds", Decimal(str(budget.seconds)) * granted, spent, Decimal(0)
        spent_so_far = await self._ledger.with_subruns(desk.recorder.run_id)
        if budget.tag:
            value = desk.state.tags.get(budget.tag)
            if value is None:
                return None
            since = None if budget.window is None else now - budget.window
            spent_so_far = await self._ledger.of_tag(budget.tag, value, since)
        for what, limit in budget.limits.items():
            spent, more = Decimal(getattr(spent_so_far, what)), Decimal(getattr(wanted, what))
            if more and spent + more > limit * granted:
                return what, limit * granted, spent, more
        return None

    async def _act(
        self, desk: Desk, budget: Budget, found: tuple[str, Decimal, Decimal, Decimal]
    ) -> None:
        what, limit, spent, more = found
        exceeded = payloads.BudgetExceeded(
            id=uuid.uuid4().hex,
            budget=budget.name,
            what=what,
            limit=str(limit),
            spent=str(spent),
            estimate=str(more),
            action=budget.on_exceed,
        )
        desk.recorder.add(exceeded, desk.activation, actor=f"policy:budget:{budget.name}")
        match budget.on_exceed:
            case "fail":
                raise BudgetError(
                    budget.name,
                    f"budget {budget.name!r} of {limit} {what} is reached: {spent} spent, and the next call needs about "
                    f"{more} more; raise it, or have it pause or downgrade",
                    what=what,
                )
            case "pause":
                reason = f"budget {budget.name!r} of {limit} {what} is reached"
                desk.recorder.add(
                    RunPaused(id=uuid.uuid4().hex, reason=reason),
                    actor=f"policy:budget:{budget.name}",
                )
                await desk.gate()
            case "downgrade":
                desk.recorder.add(
                    ModelSwitched(
                        id=uuid.uuid4().hex,
                        target=budget.downgrade_to,
                        reason=f"budget:{budget.name}",
                    ),
                    actor=f"policy:budget:{budget.name}",
                )
