"""A ReAct agent over an index that stores its conversation in a BotWire history itself."""

import asyncio
import sys

from llama_index.core import SummaryIndex
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import TextNode
from llama_index.core.tools import QueryEngineTool

from botwire import Memory
from scripted.llamaindex import ReActLLM

memory = Memory("user-session-123")
conversation = memory.history("conversation")

llm = ReActLLM()  # your own model goes here
index = SummaryIndex([TextNode(text="Turing machines never forget their tape.")])  # your documents
documents = QueryEngineTool.from_defaults(
    index.as_query_engine(llm=llm),
    name="documents",
    description="Answers questions about the documents.",
)
agent = ReActAgent(tools=[documents], llm=llm)


async def chat_with_memory(text: str) -> str:
    """Answers in view of the last 20 messages, and stores the turn in one step."""
    past = [ChatMessage(role=said["role"], content=said["text"]) for said in conversation.tail(20)]
    answer = str(await agent.run(text, chat_history=past))
    conversation.extend([{"role": "user", "text": text}, {"role": "assistant", "text": answer}])
    return answer


async def main() -> None:
    """Answers each line of the input."""
    for line in sys.stdin:
        print(await chat_with_memory(line.strip()), flush=True)


asyncio.run(main())
