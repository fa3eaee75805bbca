# SPDX-License-Identifier: Apache-2.0
"""Fields are described by what pydantic checks: types, limits, defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pdfed.spec.describe import describe
from pdfed.spec.field_types import Address
from pdfed.spec.money import Wei


class Inner(BaseModel):
    """A model within a model."""


class Model(BaseModel):
    """One field of each kind."""

    word: Annotated[str, Field(min_length=1, max_length=9, pattern="^a", description="A word.")]
    side: Literal["left", "right"] = "left"
    widths: Annotated[tuple[int, ...] | None, Field(min_length=2)] = (1, 2)
    share: Annotated[float | None, Field(gt=0, le=1)] = None
    stake: Wei = 5
    friends: tuple[Address, ...] = ()
    folder: Annotated[str, Field(title="folder")] = "."
    inner: Inner = Inner()


def test_every_kind_of_field_is_described() -> None:
    word, side, widths, share, stake, friends, folder, inner = describe(Model)
    assert (word.name, word.description, word.type, word.type_name, word.required) == ("word", "A word.", str, "text", True)
    assert word.limits == {"min_length": 1, "max_length": 9, "pattern": "^a"}
    assert (side.choices, side.default, side.required) == (("left", "right"), "left", False)
    assert (widths.type, widths.repeated, widths.nullable, widths.default) == (int, True, True, (1, 2))
    assert widths.limits == {"min_length": 2}
    assert (share.type, share.nullable, share.default, share.limits) == (float, True, None, {"gt": 0, "le": 1})
    assert (stake.type_name, friends.type_name, folder.type_name) == ("amount", "address", "folder")
    assert friends.repeated and not stake.repeated
    assert (inner.type, inner.type_name) == (Inner, "Inner")
