"""AutoGen memory and team state that outlive their process, kept by BotWire."""
