"""A Strands agent whose session survives its process."""

import sys

from strands import Agent

from botwire_strands import BotWireSessionManager
from scripted.strands import ScriptedModel

agent = Agent(
    model=ScriptedModel(),  # your own model goes here
    session_manager=BotWireSessionManager("user-42", namespace="strands-agent"),
    callback_handler=None,
)
for line in sys.stdin:
    print(str(agent(line.strip())).strip(), flush=True)
