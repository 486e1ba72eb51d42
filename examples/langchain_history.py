"""A LangChain chain that remembers its session."""

import sys

from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from botwire_langchain import BotWireChatMessageHistory
from scripted.langchain import ScriptedChatModel

prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
chain = RunnableWithMessageHistory(
    prompt | ScriptedChatModel(),  # your own model goes here
    lambda session_id: BotWireChatMessageHistory(session_id, namespace="langchain-history"),
    input_messages_key="question",
    # Without this key, LangChain reads the history twice per turn, and drops the user's message if
    # another process wrote in between.
    history_messages_key="history",
)

for line in sys.stdin:
    answer = chain.invoke({"question": line.strip()}, {"configurable": {"session_id": "user-42"}})
    print(answer.content, flush=True)
