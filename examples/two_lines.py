"""Memory in two lines: run it twice, and it remembers."""

from botwire import Memory

memory = Memory("user-123")

memory.set("prefs", {"theme": "dark"})
memory.history("visits").append({"prefs": memory.get("prefs")})

visits = memory.history("visits").count()
print(f"This is visit {visits}; the theme is {memory['prefs']['theme']}.")
