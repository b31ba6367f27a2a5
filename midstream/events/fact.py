"""What every fact is: a frozen payload with a version."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """A frozen payload; unknown fields are refused.

    Attributes:
        version: The version of the payload's shape, from 1.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    version: ClassVar[int] = 1
