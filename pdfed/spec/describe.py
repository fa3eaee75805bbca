# SPDX-License-Identifier: Apache-2.0
"""Describe the fields of a pydantic model: type, limits, default, text. Flags and docs/reference.md derive from it."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
TYPE_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false"}


@dataclass(frozen=True)
class SpecField:
    """One field of a model.

    type: of one value: str, int, float, bool, a model, or an Annotated type with validators of its own, such as Wei.
    type_name: in words; the title of the field or of its type, if there is one. choices: the values of a Literal. repeated: a
    tuple of values. nullable: may be null. default: None where `required`. limits: those of LIMITS that are set; a length of a
    tuple is its number of entries.
    """

    name: str
    description: str
    type: Any
    type_name: str
    choices: tuple[Any, ...]
    repeated: bool
    nullable: bool
    required: bool
    default: Any
    limits: dict[str, Any]


def describe(model: type[BaseModel]) -> list[SpecField]:
    """Return the fields of `model` in order."""
    return [_describe(name, info) for name, info in model.model_fields.items()]


def _describe(name: str, info: FieldInfo) -> SpecField:
    annotation, nullable, repeated = info.annotation, False, False
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
        nullable = True
    if get_origin(annotation) is tuple:
        annotation, repeated = get_args(annotation)[0], True
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return SpecField(
        name=name,
        description=info.description or "",
        type=annotation,
        type_name=info.title or _type_name(annotation),
        choices=choices,
        repeated=repeated,
        nullable=nullable,
        required=info.is_required(),
        default=None if info.is_required() else info.default,
        limits={limit: getattr(mark, limit) for mark in info.metadata for limit in LIMITS if hasattr(mark, limit)},
    )


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        titles = [mark.title for mark in annotation.__metadata__ if isinstance(mark, FieldInfo) and mark.title]
        return titles[0] if titles else _type_name(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return "choice"
    return TYPE_NAMES.get(annotation, annotation.__name__)
