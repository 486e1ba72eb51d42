"""CrewAI memory that outlives its process, kept by BotWire."""
