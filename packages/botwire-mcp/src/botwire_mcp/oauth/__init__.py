"""OAuth for clients that cannot send an API key, such as claude.ai and ChatGPT.

The client registers itself and sends its user to a page of this server, where the user enters an
API key. The client then gets tokens with the rights of that key: never the key itself, and nothing
that outlives it.
"""
