"""DSPy: a conversation as `dspy.History`, and a program's state, both on BotWire."""

from __future__ import annotations

import sys

import dspy

from botwire import Memory
from scripted.dspy import ScriptedLM


class Chat(dspy.Signature):
    """Answer the question; use what you were told before."""

    history: dspy.History = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


dspy.configure(lm=ScriptedLM())  # your own model goes here
memory = Memory("dspy-program")

# What an optimizer found, such as demonstrations and instructions, is kept for the next process.
program = dspy.Predict(Chat)
state = memory.get("chat/program")
if state is None:
    memory.set("chat/program", program.dump_state())
else:
    program.load_state(state)

turns = memory.history("user-42")
for line in sys.stdin:
    question = line.strip()
    said = dspy.History(messages=turns.tail(20))
    answer = program(question=question, history=said).answer
    turns.append({"question": question, "answer": answer})
    print(answer, flush=True)
