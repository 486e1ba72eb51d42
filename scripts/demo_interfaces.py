"""Lists what the demo tries: the frameworks' interfaces that BotWire implements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interface:
    """A framework's interface that BotWire implements, and a program that uses it.

    Attributes:
        framework: The framework's name.
        name: The name of the interface in code.
        calls: The memory calls to measure: ``module:Class.method,method``.
        program: What runs in process A, a file in `examples`.
        other_program: What runs in process B; defaults to `program`.
    """

    framework: str
    name: str
    calls: str
    program: str
    other_program: str | None = None

    @property
    def programs(self) -> tuple[str, str]:
        """The programs of process A and process B."""
        return self.program, self.other_program or self.program

    def __str__(self) -> str:
        return f"{self.framework}, {self.name}"


LLAMAINDEX_CALLS = (
    "botwire_llamaindex:BotWireChatMemoryBuffer.get,aget,put,aput,put_messages,aput_messages"
)

INTERFACES = (
    Interface(
        "LlamaIndex",
        "FunctionAgent, BotWireChatMemoryBuffer",
        LLAMAINDEX_CALLS,
        "llamaindex_agent.py",
    ),
    Interface(
        "LlamaIndex",
        'ReActAgent, chat_with_memory, Memory("user-session-123")',
        "botwire:History.tail,extend",
        "llamaindex_react.py",
    ),
    Interface(
        "LlamaIndex",
        'SimpleChatEngine, PersistentChatMemory("user-456")',
        LLAMAINDEX_CALLS,
        "llamaindex_chat_engine.py",
    ),
    Interface(
        "LangChain",
        "RunnableWithMessageHistory, BotWireChatMessageHistory",
        "botwire_langchain:BotWireChatMessageHistory.get_messages,add_messages",
        "langchain_history.py",
    ),
    Interface(
        "LangGraph",
        "create_agent, BotWireSaver",
        "botwire_langgraph:BotWireSaver.get_tuple,put,put_writes",
        "langgraph_agent.py",
    ),
    Interface(
        "deepagents",
        "create_deep_agent, BotWireBackend",
        "botwire_langgraph:BotWireBackend.grep,read,write,edit",
        "langgraph_deepagent.py",
    ),
    Interface(
        "CrewAI",
        "Crew(memory=…), BotWireMemory on BotWireStorage",
        "botwire_crewai:BotWireStorage."
        "search,list_scopes,get_scope_info,list_categories,touch_records,save",
        "crewai_crew.py",
    ),
    Interface(
        "AutoGen",
        "AssistantAgent in RoundRobinGroupChat, BotWireMemory",
        "botwire_autogen:BotWireMemory.update_context,add",
        "autogen_team.py",
    ),
    Interface(
        "Agent Framework",
        "Agent, BotWireHistoryProvider and BotWireContextProvider",
        "botwire_agent_framework:BotWireHistoryProvider.get_messages,save_messages",
        "agent_framework_agent.py",
    ),
    Interface(
        "AG2",
        "Agent, BotWireStorage and BotWireKnowledgeStore",
        "botwire_ag2:BotWireStorage.get_history,save_event",
        "ag2_agent.py",
    ),
    Interface(
        "OpenAI Agents SDK",
        "Runner.run, BotWireSession",
        "botwire_openai_agents:BotWireSession.get_items,add_items",
        "openai_agents_agent.py",
    ),
    Interface(
        "Claude Agent SDK",
        "ClaudeSDKClient, BotWireSessionStore",
        "botwire_claude:BotWireSessionStore.load,append",
        "claude_session.py",
    ),
    Interface(
        "Anthropic SDK",
        "tool_runner, BotWireMemoryTool",
        "botwire_claude:BotWireMemoryTool.call",
        "claude_memory.py",
    ),
    Interface(
        "Pydantic AI",
        "Agent.run, BotWireConversationStore",
        "botwire_pydantic_ai:BotWireConversationStore.load,save",
        "pydantic_ai_agent.py",
    ),
    Interface(
        "Strands Agents",
        "Agent, BotWireSessionManager",
        "botwire_strands:BotWireSessionManager.initialize,append_message",
        "strands_agent.py",
    ),
    Interface(
        "Google ADK",
        "Runner, BotWireSessionService",
        "botwire_google_adk:BotWireSessionService.get_session,append_event",
        "google_adk_agent.py",
    ),
    Interface(
        "two in one",
        "told in LangChain, asked in LlamaIndex",
        LLAMAINDEX_CALLS,
        "langchain_history.py",
        "llamaindex_continues_langchain.py",
    ),
)
