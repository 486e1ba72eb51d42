"""A LlamaIndex chat engine that remembers, with one extra line."""

import sys

from llama_index.core.chat_engine import SimpleChatEngine

from botwire_llamaindex import PersistentChatMemory
from scripted.llamaindex import function_calling_llm

persistent_memory = PersistentChatMemory("user-456", token_limit=3000)
engine = SimpleChatEngine.from_defaults(
    llm=function_calling_llm(),  # your own model goes here
    memory=persistent_memory,
)

for line in sys.stdin:
    print(engine.chat(line.strip()), flush=True)
