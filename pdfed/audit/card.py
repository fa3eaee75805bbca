# SPDX-License-Identifier: Apache-2.0
"""card.json is for people and catalogues: what it says must be what the manifest, the task and the chain say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdfed.provenance import Provenance
from pdfed.spec import TaskSpec
from pdfed.storage import cid_from_digest

REQUIRED = ("title", "task", "author", "parents", "images_seen", "licence")


def wrong_in_card(card: Mapping[str, Any], found: Provenance, task: TaskSpec) -> list[str]:
    """A line for each field that is missing or false, none if the card is right. Fields without a counterpart are free text."""
    true = true_card(found, task)
    wrong = [f"it has no {name}" for name in REQUIRED if name not in card]
    for name, value in true.items():
        if name in card and not _same(card[name], value):
            wrong.append(f"{name} is {_short(card[name])} instead of {_short(value)}")
    return wrong


def true_card(found: Provenance, task: TaskSpec) -> dict[str, Any]:
    """What the fields of a card must say: itself a card with nothing wrong."""
    facts, claim = found.facts, found.claim
    images = task.images
    true = {
        "title": found.title,
        "task": task.name,
        "licence": task.licence,
        "author": claim.author,
        "chain_id": claim.chain_id,
        "parents": [cid_from_digest(parent) for parent in claim.parents],
        "images_seen": facts.images_seen,
        "classes": list(images.classes),
        "image_size": [images.size, images.size, images.channels],
        "sampler": task.sampling.model_dump(),
        "epsilon": facts.epsilon,
    }
    if claim.parents:
        true |= {"contract": claim.contract, "objective": facts.objective}
    return true


def _same(said: Any, true: Any) -> bool:
    """Addresses compare whatever their case, tuples as lists. What is said may be nested deeper than what is true ever is."""
    if isinstance(true, str):
        return isinstance(said, str) and (said.lower() == true.lower() if true[:2] == "0x" else said == true)
    if isinstance(true, list | tuple):
        return isinstance(said, list) and len(said) == len(true) and all(map(_same, said, true))
    if isinstance(true, Mapping):
        return isinstance(said, Mapping) and said.keys() == true.keys() and all(_same(said[name], true[name]) for name in true)
    return bool(said == true)


def _short(value: Any) -> str:
    try:
        return f"{str(value)[:60]!r}"
    except RecursionError:
        return "nested deeply"
