"""Continues in LlamaIndex the session that langchain_history.py began in LangChain."""

import sys

from llama_index.core.chat_engine import SimpleChatEngine

from botwire_llamaindex import BotWireChatMemoryBuffer
from scripted.llamaindex import function_calling_llm

memory = BotWireChatMemoryBuffer.from_defaults(
    namespace="langchain-history",
    chat_store_key="user-42",
)
engine = SimpleChatEngine.from_defaults(
    llm=function_calling_llm(),  # your own model goes here
    memory=memory,
)

for line in sys.stdin:
    print(engine.chat(line.strip()), flush=True)
