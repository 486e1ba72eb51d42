"""LangGraph checkpoints that outlive their process, kept by BotWire."""
