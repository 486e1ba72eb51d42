"""A CrewAI crew that remembers what it learned in earlier processes."""

import sys

from crewai import Agent, Crew, Task

from botwire_crewai import BotWireMemory
from scripted.crewai import ScriptedLLM, embed

llm = ScriptedLLM(model="scripted")  # your own model and embedder go here
memory = BotWireMemory("crewai-crew", llm=llm, embedder=embed)
agent = Agent(role="Assistant", goal="Be helpful.", backstory="You know the user.", llm=llm)
task = Task(description="{message}", expected_output="A short answer.", agent=agent)
crew = Crew(agents=[agent], tasks=[task], memory=memory)

for line in sys.stdin:
    # When kickoff returns, everything the crew learned is saved.
    print(crew.kickoff({"message": line.strip()}), flush=True)
