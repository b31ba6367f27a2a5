"""Every error of midstream, in one tree.

MidstreamError
  GraphError                 the graph is wrong; raised when it is built or started, before anything is recorded
    TopologyError            a running graph cannot be changed like this, or control not go there .node
      PlanError              a plan for a running graph was refused                .node .reasons
    CodeChangedError         a run cannot go on with code that has changed        .run_id .changes
  ConfigError                an option or a setting is wrong
    QueryError               a query for runs cannot be read                      .query .position
  ConversionError            what was given to convert is not what its dialect says
  NotRecordableError         a value cannot be written to the log                 .path
  StoreError                 the log could not be read or written
    ConcurrencyError         another writer appended first                        .run_id .expected .actual
    LeaseLostError           this driver no longer holds the run                  .run_id .epoch .actual
    LeaseHeldError           another driver holds the run and is alive            .run_id .holder .until
    RunNotFoundError         there is no such run                                 .run_id
      RunRemovedError        it was there, and was removed                        .tombstone
    RunErasedError           the content of the run was erased                    .run_id
    SealedError              content cannot be opened with the keys that are here .run_id
    RunNeededError           the run cannot be removed                            .run_id .forks
    RunExistsError           the id is taken by a run of another graph or input   .run_id
    StoreOpenError           the file is not one that this release can use        .path
    StoreBusyError           the file stayed locked for longer than the timeout   .path
    StoreFullError           no space was left; nothing of the append was kept
    CorruptLogError          the log is not what was written                      .run_id .seq
    UnknownEventError        the event is newer than this code                    .type .version
  StepNotFoundError          the run has no such step                             .run_id .step .nearest
  LessonError                there is no such lesson, or it must not be kept      .lesson
  ReplayError                the code no longer matches the history               .run_id .address
  AdapterError               a provider refused or failed                         .provider .model .status .request_id
    TransientError           worth another try                                    .retry_after (seconds or None)
      RateLimitError         the provider asks for patience (429)
      OverloadedError        the provider is out of capacity (529, 503)
      UnavailableError       the provider failed (other 5xx)
      ConnectionFailedError  no connection, or it broke before the answer was whole
      CallTimeoutError       the call did not end before its deadline
      MalformedAnswerError   the answer was cut off or is not what the protocol says
      NoEndpointError        nobody may be asked within the deadline                .target .refused
    PermanentError           the same request cannot succeed
      AuthenticationError    the key is missing, wrong, or not allowed (401, 403)
      BadRequestError        the provider refuses the request (400, 404, 413, 422)
        ContextWindowError   the conversation is too long for the model         .tokens .window
      RefusedError           the model declined to answer, and the group says to ask another one
      BadOutputError         the answer is not what the caller accepts
      QuotaError             the account has no credit left; waiting does not help
      OutputError            the answer is not of the form that was asked for     .step .text .problem
  ToolError                  a tool raised, or could not be called                .tool .address .kind
    RedactedError            a secret that a call needs was not recorded, and is not given anew
    ToolUnknownError         an unsafe tool was in flight when the process ended; nobody knows what it did
  AnswerError                an answer to a question was refused                  .run_id .question
    QuestionNotFoundError    the run has asked no such question
    AlreadyAnsweredError     somebody was quicker                                 .by
    AnswerTooLateError       the question has expired or was withdrawn, or its run has ended
    WrongAnswerError         it is not what was asked for                         .misfits
  QuestionExpiredError       nobody answered in time, and there is no default     .question
  TemplateError              a template speaks of what is not there               .line
  NodeError                  a node raised or ran out of time                     .node .kind
  RunError                   how a run ended, for whoever awaits it               .run_id
    RunFailedError           it failed; the story is in the message               .failures
    RunCancelledError        it was cancelled                                     .reason
  LimitError                 a limit of the run was reached                       .limit
    BudgetError              a budget is reached, and the call was not made       .what
  MigrationError             the target cannot carry the run on                   .run_id .target

A failure of the world (a provider, a tool, a node) becomes a fact in the log. A failure of the log (`StoreError`)
never does: it ends the attempt to drive the run, and another driver may go on from what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime


class MidstreamError(Exception):
    """The root: whatever midstream raises on purpose derives from it."""


class GraphError(MidstreamError):
    """The graph is wrong: unknown names, a cycle, a missing input. Nothing was recorded."""


class TopologyError(GraphError):
    """A running graph cannot be changed like this, or control cannot go there. The change was not recorded.

    Attributes:
        node: The node that it is about.
    """

    def __init__(self, node: str, message: str) -> None:
        super().__init__(message)
        self.node = node


class PlanError(TopologyError):
    """A plan for a running graph was refused; nothing of it was done.

    Attributes:
        node: The node whose plan it is.
        reasons: What is wrong with it.
    """

    def __init__(self, node: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(node, f"the plan of node {node!r} is refused: {'; '.join(reasons)}")


class CodeChangedError(GraphError):
    """The code is not what the run was started with, and the policy for that does not let the run go on with it.

    Attributes:
        run_id: The run.
        changes: What is not the same, in words.
    """

    def __init__(self, run_id: str, message: str, changes: tuple[str, ...]) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.changes = changes


class ConfigError(MidstreamError):
    """An option or a setting is wrong; the message names it and what is accepted."""


class QueryError(ConfigError):
    """A query for runs cannot be read; the message names the place and the remedy.

    Attributes:
        query: The whole query.
        position: Where it cannot be read, from 0.
    """

    def __init__(self, query: str, position: int, problem: str) -> None:
        here = query[position : position + 20]
        place = f"character {position + 1}, {here!r}" if here else "its end"
        super().__init__(f"query {query!r}, {place}: {problem}")
        self.query = query
        self.position = position


class ConversionError(MidstreamError):
    """A request or an answer that was given to convert is not what its dialect says; nothing was written."""


class NotRecordableError(MidstreamError):
    """A value cannot be written to the log as JSON.

    Attributes:
        path: Where in the value, as in `output.items[3].price`.
    """

    def __init__(self, path: str, found: str, remedy: str) -> None:
        super().__init__(f"{path} cannot be recorded: {found}; {remedy}")
        self.path = path


class StoreError(MidstreamError):
    """The log could not be read or written."""


class ConcurrencyError(StoreError):
    """Another writer appended first.

    Attributes:
        run_id: The run that was to be appended to.
        expected: The `seq` that the writer had read.
        actual: The `seq` the run is at.
    """

    def __init__(self, run_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"run {run_id!r} is at event {actual}, not {expected}: another writer appended first; "
            "read the run again and retry"
        )
        self.run_id = run_id
        self.expected = expected
        self.actual = actual


class LeaseLostError(StoreError):
    """This driver no longer holds the run: another one took it over with a later epoch.

    Attributes:
        run_id: The run.
        epoch: The epoch of the refused driver.
        actual: The epoch in force.
    """

    def __init__(self, run_id: str, epoch: int, actual: int) -> None:
        super().__init__(
            f"run {run_id!r} is driven with epoch {actual}, not {epoch}: another driver took it over "
            "after the lease ran out; stop driving it here, the log goes on without this process"
        )
        self.run_id = run_id
        self.epoch = epoch
        self.actual = actual


class LeaseHeldError(StoreError):
    """Another driver holds the run and has shown a fresh sign of life.

    Attributes:
        run_id: The run.
        holder: The name of the driver that holds it.
        until: When its lease runs out if it shows no other sign of life, in seconds since 1970.
    """

    def __init__(self, run_id: str, holder: str, until: float, now: float) -> None:
        super().__init__(
            f"run {run_id!r} is held by driver {holder!r}, alive for another {max(0.0, until - now):.1f} s; "
            "wait for it, or stop that process"
        )
        self.run_id = run_id
        self.holder = holder
        self.until = until


class RunNotFoundError(StoreError):
    """There is no run with this id in the store."""

    def __init__(self, run_id: str, hint: str = "list what is there with `midstream runs`") -> None:
        super().__init__(f"there is no run {run_id!r} in this store; {hint}")
        self.run_id = run_id


class RunRemovedError(RunNotFoundError):
    """The run was removed from the store; its id is not given to another run.

    Attributes:
        at: When, in microseconds since 1970.
        reason: Why.
    """

    def __init__(self, run_id: str, at: int, reason: str) -> None:
        when = datetime.fromtimestamp(at / 1_000_000, UTC).isoformat(" ", "seconds")
        StoreError.__init__(
            self,
            f"run {run_id!r} was removed on {when}{f' ({reason})' if reason else ''}; what remains is where it stood: "
            "`midstream db removed`. Its id is not given to another run: choose another one",
        )
        self.run_id = run_id
        self.at = at
        self.reason = reason


class RunErasedError(StoreError):
    """The content of the run was erased: it is not read, continued, forked or replayed any more.

    Attributes:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"the content of run {run_id!r} was erased; what remains is what happened and when: `midstream tail {run_id}`. "
            "It cannot be read, continued, forked or replayed: start a new run"
        )
        self.run_id = run_id


class SealedError(StoreError):
    """Content is sealed with a key that is not here, or another one than is here.

    Attributes:
        run_id: The run.
    """

    def __init__(self, run_id: str, found: str) -> None:
        super().__init__(
            f"run {run_id!r} is sealed: {found}; open the store with the keys that it was written with "
            "(`encryption=`, or MIDSTREAM_KEYS on the command line)"
        )
        self.run_id = run_id


class RunNeededError(StoreError):
    """The run cannot be removed; nothing was.

    Attributes:
        run_id: The run.
        forks: Runs that share its events and are not to be removed with it.
    """

    def __init__(self, run_id: str, found: str, remedy: str, forks: Sequence[str] = ()) -> None:
        super().__init__(f"run {run_id!r} cannot be removed: {found}; {remedy}")
        self.run_id = run_id
        self.forks = tuple(forks)


class RunExistsError(StoreError):
    """The id is taken by a run that was started with another graph or other inputs."""

    def __init__(self, run_id: str, difference: str) -> None:
        super().__init__(
            f"run {run_id!r} exists and was started with {difference}; "
            "choose another run_id, or start it with the same graph and inputs to get the same run"
        )
        self.run_id = run_id


class StoreOpenError(StoreError):
    """The file is not one that this release can use; it was left as it is.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str, found: str, remedy: str) -> None:
        super().__init__(f"cannot open {path!r}: {found}; {remedy}")
        self.path = path


class StoreBusyError(StoreError):
    """The file stayed locked by another process for longer than the busy timeout."""

    def __init__(self, path: str, waited: float) -> None:
        super().__init__(
            f"{path!r} stayed locked for {waited:.1f} s; another process holds a write transaction open: "
            "find it and end it, or open the store with a longer `busy_timeout`"
        )
        self.path = path


class StoreFullError(StoreError):
    """No space was left. Nothing of the append was kept; the log is as it was before."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"no space left to append to {path!r}; nothing of this append was recorded: free some space and resume"
        )
        self.path = path


class CorruptLogError(StoreError):
    """The log is not what was written.

    Attributes:
        run_id: The run, or None where the damage is below the level of runs.
        seq: The first event that is not as it was, or None.
    """

    def __init__(self, run_id: str | None, seq: int | None, found: str) -> None:
        where = "the store" if run_id is None else f"run {run_id!r}"
        if seq is not None:
            where += f" at event {seq}"
        super().__init__(
            f"{where} is damaged: {found}; restore it from a backup, `midstream verify` lists every place"
        )
        self.run_id = run_id
        self.seq = seq


class UnknownEventError(StoreError):
    """The event is newer than this code: it can be read as raw JSON, not as a payload of this release."""

    def __init__(self, type_: str, version: int, known: int | None) -> None:
        what = "no such event" if known is None else f"version {known} at most"
        super().__init__(
            f"event {type_!r} version {version} is newer than this release, which knows {what}; "
            "upgrade midstream, or read `event.data` as it is"
        )
        self.type = type_
        self.version = version


class StepNotFoundError(MidstreamError):
    """The run has no such step; nothing was recorded.

    Attributes:
        run_id: The run.
        step: The address that names nothing.
        nearest: Steps that exist, the most similar ones where any is similar.
    """

    def __init__(self, run_id: str, step: str, nearest: Sequence[str]) -> None:
        there = ", ".join(repr(name) for name in nearest)
        hint = f"did you mean {there}?" if there else "nothing has happened in it yet"
        super().__init__(
            f"run {run_id!r} has no step {step!r}; {hint} `midstream show {run_id}` lists its steps"
        )
        self.run_id = run_id
        self.step = step
        self.nearest = tuple(nearest)


class LessonError(MidstreamError):
    """There is no such lesson, or it is none that may be kept; nothing was recorded.

    Attributes:
        lesson: Its id, or empty where it was not kept.
    """

    def __init__(self, lesson: str, message: str) -> None:
        super().__init__(message)
        self.lesson = lesson


class ReplayError(MidstreamError):
    """The code no longer matches the history of the run."""

    def __init__(self, run_id: str, address: str, message: str) -> None:
        super().__init__(f"run {run_id!r} at {address}: {message}")
        self.run_id = run_id
        self.address = address


class AdapterError(MidstreamError):
    """A provider refused or failed.

    Attributes:
        provider: As in the model's name, `openai` in `openai:gpt-4o`.
        model: The model's name without the provider.
        status: The HTTP status, or None where there was no answer.
        request_id: The provider's id of the request, for its support, or None.
    """

    kind = "adapter_error"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id


class TransientError(AdapterError):
    """Worth another try.

    Attributes:
        retry_after: Seconds that the provider asked for, or None.
    """

    kind = "transient"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message, provider=provider, model=model, status=status, request_id=request_id
        )
        self.retry_after = retry_after


class RateLimitError(TransientError):
    """The provider asks for patience: too many requests or tokens (429)."""

    kind = "rate_limit"


class OverloadedError(TransientError):
    """The provider is out of capacity (529, 503)."""

    kind = "overloaded"


class UnavailableError(TransientError):
    """The provider failed (500, 502, 504 and other 5xx)."""

    kind = "unavailable"


class ConnectionFailedError(TransientError):
    """No connection could be made, or it broke before the answer was whole."""

    kind = "connection"


class CallTimeoutError(TransientError):
    """The call did not end before its deadline."""

    kind = "timeout"


class MalformedAnswerError(TransientError):
    """The answer was cut off, or is not what the protocol says."""

    kind = "malformed_answer"


class NoEndpointError(TransientError):
    """Nobody of a group or pool may be asked within the deadline.

    Attributes:
        target: What was asked for, as `group:fast`.
        refused: For each candidate, its name and the reason.
    """

    kind = "no_endpoint"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        target: str = "",
        refused: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(
            message,
            provider=provider,
            model=model,
            status=status,
            request_id=request_id,
            retry_after=retry_after,
        )
        self.target = target
        self.refused = tuple(refused)


class PermanentError(AdapterError):
    """The same request cannot succeed."""

    kind = "permanent"


class AuthenticationError(PermanentError):
    """The key is missing, wrong, or not allowed to do this (401, 403)."""

    kind = "authentication"


class BadRequestError(PermanentError):
    """The provider refuses the request (400, 404, 413, 422)."""

    kind = "bad_request"


class ContextWindowError(BadRequestError):
    """The conversation is too long for the model.

    Attributes:
        tokens: Of the conversation, by estimate; None where the provider refused it.
        window: What it would have had to fit into, without the answer; None where the provider refused it.
    """

    kind = "context_window"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        tokens: int | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__(
            message, provider=provider, model=model, status=status, request_id=request_id
        )
        self.tokens = tokens
        self.window = window


class RefusedError(PermanentError):
    """The model declined to answer, or a filter stopped it, and its group says that this counts as a failure."""

    kind = "refused"


class BadOutputError(PermanentError):
    """The answer is not what the caller accepts, such as JSON of a certain shape."""

    kind = "bad_output"


class QuotaError(PermanentError):
    """The account has no credit left; waiting does not help."""

    kind = "quota"


class OutputError(PermanentError):
    """The answer is not of the form that was asked for, also after the model was told what is wrong with it.

    Attributes:
        step: The address of the answer.
        text: What the model said.
        problem: What is wrong with it.
    """

    kind = "bad_output"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        step: str = "",
        text: str = "",
        problem: str = "",
    ) -> None:
        super().__init__(
            message, provider=provider, model=model, status=status, request_id=request_id
        )
        self.step = step
        self.text = text
        self.problem = problem


class ToolError(MidstreamError):
    """A tool raised, or could not be called.

    Attributes:
        tool: The tool's name.
        address: The step in the log.
        kind: What went wrong, such as `exception`, `timeout`, `bad_arguments`, `unknown_tool`, `cancelled`.
    """

    def __init__(
        self, message: str, *, tool: str, address: str = "", kind: str = "exception"
    ) -> None:
        super().__init__(message)
        self.tool = tool
        self.address = address
        self.kind = kind


class RedactedError(ToolError):
    """A call needs a secret that is not in the log: there is a mark in its place, and nobody gives the true value anew."""


class ToolUnknownError(ToolError):
    """An unsafe tool was in flight when the process ended: it may have run or not.

    It is not repeated by itself. Settle it: `run.settle(step, result=…)`, `run.settle(step, retry=True)`, or give the
    tool an `on_unknown` handler that can find out.
    """


class AnswerError(MidstreamError):
    """An answer to a question was refused; nothing was recorded.

    Attributes:
        run_id: The run.
        question: The id that was given.
    """

    def __init__(self, run_id: str, question: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.question = question


class QuestionNotFoundError(AnswerError):
    """The run has asked no such question."""


class AlreadyAnsweredError(AnswerError):
    """The question was answered before.

    Attributes:
        by: Who answered it, or empty.
    """

    def __init__(self, run_id: str, question: str, message: str, by: str) -> None:
        super().__init__(run_id, question, message)
        self.by = by


class AnswerTooLateError(AnswerError):
    """The question has expired or was withdrawn, or its run has ended."""


class WrongAnswerError(AnswerError):
    """The answer is not what was asked for.

    Attributes:
        misfits: What is wrong with it, in words.
    """

    def __init__(
        self, run_id: str, question: str, message: str, misfits: Sequence[str] = ()
    ) -> None:
        super().__init__(run_id, question, message)
        self.misfits = tuple(misfits)


class QuestionExpiredError(MidstreamError):
    """Nobody answered a question in time, and it has no default; raised in the node that asked.

    Attributes:
        question: Its id.
    """

    def __init__(self, message: str, *, question: str) -> None:
        super().__init__(message)
        self.question = question


class TemplateError(MidstreamError):
    """A template cannot be rendered: it speaks of what is not there, or does what the sandbox forbids.

    Attributes:
        line: Of the template, from 1.
    """

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


class NodeError(MidstreamError):
    """A node raised or ran out of time.

    Attributes:
        node: The name of the node.
        kind: The class of what it raised, or `timeout`.
    """

    def __init__(self, message: str, *, node: str, kind: str = "exception") -> None:
        super().__init__(message)
        self.node = node
        self.kind = kind


class RunError(MidstreamError):
    """How a run ended, for whoever awaits it."""

    def __init__(self, run_id: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunFailedError(RunError):
    """The run failed.

    Attributes:
        failures: One `NodeError` for each node that failed, in the order they failed in; a limit and a deadlock have no
            node.
        group: The same as one `ExceptionGroup`, for `except*` (`raise error.group`), or None where there are none.
    """

    def __init__(self, run_id: str, message: str, failures: Sequence[Exception] = ()) -> None:
        super().__init__(run_id, message)
        self.failures = tuple(failures)
        self.group = ExceptionGroup(message, self.failures) if self.failures else None
        self.__cause__ = self.group


class RunCancelledError(RunError):
    """The run was cancelled.

    Attributes:
        reason: What was given as the reason.
    """

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id, f"run {run_id!r} was cancelled: {reason}")
        self.reason = reason


class LimitError(MidstreamError):
    """A limit of the run was reached.

    Attributes:
        limit: The name of the limit.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class BudgetError(LimitError):
    """A budget is reached, and its policy is to fail; the call was not made.

    Attributes:
        limit: The name of the budget.
        what: What there is too little of.
    """

    def __init__(self, budget: str, message: str, *, what: str) -> None:
        super().__init__(budget, message)
        self.what = what


class MigrationError(MidstreamError):
    """The target cannot carry the run on; nothing was recorded."""

    def __init__(self, run_id: str, target: str, message: str) -> None:
        super().__init__(f"run {run_id!r} cannot be moved to {target!r}: {message}")
        self.run_id = run_id
        self.target = target
