"""The version of this distribution, and of all others of BotWire."""

__version__ = "0.3.0"
