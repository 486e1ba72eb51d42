"""LangGraph on BotWire: a checkpointer that outlives the process."""

from botwire_langgraph.saver import BotWireSaver

__all__ = ["BotWireSaver"]
