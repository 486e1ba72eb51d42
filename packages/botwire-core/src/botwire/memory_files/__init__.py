"""A tree of text files that a model edits with the six commands of Anthropic's memory tool."""

from botwire.memory_files._async import AsyncMemoryFiles
from botwire.memory_files._sync import MemoryFiles
from botwire.memory_files.commands import COMMANDS, ROOT, FileCommandError

__all__ = ["COMMANDS", "ROOT", "AsyncMemoryFiles", "FileCommandError", "MemoryFiles"]
